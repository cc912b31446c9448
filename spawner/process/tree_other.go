//go:build !linux

package process

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// errNoTree is what this system answers: a record holds no start time here, so that a pid in it could be anybody's by now.
var errNoTree = fmt.Errorf("finding and ending the processes of a worker on %s, where nothing proves that a pid still means it: %w",
	runtime.GOOS, errors.ErrUnsupported)

// Members returns errors.ErrUnsupported.
func (d *RunDir) Members(Tree) ([]Identity, error) { return nil, errNoTree }

// End returns errors.ErrUnsupported.
func (d *RunDir) End(context.Context, Tree, EndConfig) (Ending, error) { return Ending{}, errNoTree }

// Snapshot is the process table of the machine at one moment; this system does not show it.
type Snapshot struct{}

// Take returns errors.ErrUnsupported.
func (s *Snapshot) Take() error { return errNoTree }

// TakeFor returns errors.ErrUnsupported.
func (s *Snapshot) TakeFor(Identity) error { return errNoTree }

// Members returns nil.
func (s *Snapshot) Members(Identity) []Identity { return nil }

// Usage returns zero.
func (s *Snapshot) Usage(Identity) Usage { return Usage{} }

// Groups makes control groups (cgroup v2); there are none on this system.
type Groups struct{}

// Group is the control group of one worker.
type Group struct{}

var errNoGroups = fmt.Errorf("control groups on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// OpenGroups returns errors.ErrUnsupported.
func OpenGroups() (*Groups, error) { return nil, errNoGroups }

// Make returns errors.ErrUnsupported.
func (g *Groups) Make(string) (*Group, error) { return nil, errNoGroups }

// Open returns errors.ErrUnsupported.
func (g *Groups) Open(string) (*Group, error) { return nil, errNoGroups }

// Names returns nil.
func (g *Groups) Names() []string { return nil }

// String returns nothing.
func (g *Group) String() string { return "" }

// Populated returns false.
func (g *Group) Populated() bool { return false }

// Close does nothing.
func (g *Group) Close() {}

// Kill returns errors.ErrUnsupported.
func (g *Group) Kill() error { return errNoGroups }

// Remove returns errors.ErrUnsupported.
func (g *Group) Remove() error { return errNoGroups }

// OOMKilled reports that it is not known.
func OOMKilled(Identity, time.Time) (killed, known bool) { return false, false }

// MayLive is Alive.
func (id Identity) MayLive() bool { return id.Alive() }
