package spawner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// Where a binary can come from, in the order of the search.
const (
	sourceCatalog = "catalog"
	sourceDebug   = "debug"
	sourceRelease = "release"
)

// located is a binary that can be started.
type located struct {
	path    string
	source  string
	worker  string
	version string // empty for a development build
	why     string // this one, for people

	entry   catalog.Entry    // of the catalog; empty for a development build
	program *catalog.Program // as it was verified, open; nil for a development build
}

// typeOf infers the worker's type from the job's device.
func typeOf(job messages.Job) (device.WorkerType, error) {
	dev, err := device.Parse(job.Device)
	if err != nil {
		return "", messages.Errorf(messages.UnsupportedDevice, "%w", err)
	}
	worker := dev.WorkerType()
	if !worker.SupportedOn(runtime.GOOS) {
		return "", messages.Errorf(messages.UnsupportedPlatform, "a %s worker (device %s) does not run on %s", worker, job.Device, runtime.GOOS)
	}
	return worker, nil
}

// locate finds the worker's binary and verifies it: in the catalog, then target/debug, then target/release of the development tree. It
// also returns the entries that were passed over because they are broken. A job that pins a version or names another
// worker than the device's own gets what the catalog holds and nothing else, and so does one whose worker is pinned. The
// caller closes the program that it gets.
func (s *Spawner) locate(ctx context.Context, job messages.Job, worker device.WorkerType) (located, []catalog.Broken, error) {
	name := worker.Binary()
	if job.Worker != "" {
		name = job.Worker
	}
	search := search{name: name}
	if found, ok := search.inCatalog(ctx, s.catalog, job.Version); ok {
		if err := checkServes(job, found.entry); err != nil {
			found.program.Close()
			return located{}, search.broken, err
		}
		return found, search.broken, nil
	}
	none := located{source: sourceCatalog} // where alone it may be
	if job.Version == "" && job.Worker == "" && !search.pinned {
		none.source = ""
		if found, ok := search.inDevTree(s.cfg.DevRoot); ok {
			return found, search.broken, nil
		}
	}
	if ctx.Err() != nil {
		return none, search.broken, draining("the worker was not started")
	}
	return none, search.broken, search.failure(job.Version)
}

// search is one look for a binary, with what it met on the way.
type search struct {
	name      string
	tried     []string
	version   string   // that is pinned
	installed []string // versions in the catalog that the job does not ask for
	broken    []catalog.Broken
	// addCommand is the command that installs a version in the catalog; nil if there is no catalog.
	addCommand func(name, version string) string

	pinned bool  // the catalog pins a version, which could not be had
	unfit  error // the first binary that is there and cannot be started
}

func (s *search) inCatalog(ctx context.Context, c *catalog.Catalog, version string) (located, bool) {
	if c == nil {
		return located{}, false
	}
	s.addCommand = c.AddCommand
	choice, broken, err := c.Choose(ctx, s.name, version)
	s.broken = broken
	if err == nil {
		return located{
			path: choice.Binary, source: sourceCatalog, worker: choice.Name, version: choice.Version, why: choice.Why,
			entry: choice.Entry, program: choice.Program,
		}, true
	}
	if missing, ok := errors.AsType[*catalog.NotFoundError](err); ok {
		s.tried = append(s.tried, missing.Tried...)
		s.installed, s.pinned = missing.Installed, missing.Pinned
		if missing.Pinned {
			s.version = missing.Version
		}
	} else {
		s.unfit = err
	}
	if len(broken) > 0 && s.unfit == nil {
		s.unfit = broken[0].Err
	}
	return located{}, false
}

func (s *search) inDevTree(root string) (located, bool) {
	path, profile, tried, err := devtree.Find(root, s.name)
	s.tried = append(s.tried, tried...)
	if err == nil {
		return located{path: path, source: profile, worker: s.name, why: "the catalog holds none"}, true
	}
	if unfit, ok := errors.AsType[*binary.Error](err); ok && !errors.Is(err, fs.ErrNotExist) && s.unfit == nil {
		s.unfit = unfit
	}
	return located{}, false
}

// failure says why nothing was found: a binary that is there and unfit says more than a list of places.
func (s *search) failure(version string) error {
	if binary.Retryable(s.unfit) { // it could not be looked at now
		return unexpected("look for "+s.name, s.unfit)
	}
	if s.unfit != nil {
		code := messages.BinaryInvalid
		if _, ok := errors.AsType[*catalog.ChecksumError](s.unfit); ok {
			code = messages.ChecksumMismatch
		}
		e := messages.Errorf(code, "%w", s.unfit)
		e.Tried = s.tried
		return e
	}
	what, wanted := s.name, version
	if s.pinned {
		wanted = s.version
		version = s.version + " (pinned: unpin it, or install that)"
	}
	if version != "" {
		what += " version " + version
	}
	text := what + " is not installed"
	if len(s.installed) > 0 {
		text += "; these versions are: " + strings.Join(s.installed, ", ")
	}
	e := messages.Errorf(messages.WorkerNotInstalled, "%s; %s", text, s.advice(wanted))
	e.Tried = s.tried
	return e
}

// exampleVersion is the version in the advice to whoever named none.
const exampleVersion = "1.0.0"

// advice says how to install what was not found, in that version unless it is empty.
func (s *search) advice(version string) string {
	paths := strings.Join(s.tried, ", ")
	switch invalid := catalog.CheckVersion(cmp.Or(version, exampleVersion)); {
	case len(s.tried) == 0:
		return "the hive has no catalog (--catalog-dir) and no development tree (--dev-root)"
	case s.addCommand == nil:
		return "build it, as one of " + paths
	case invalid != nil:
		return fmt.Sprintf("no version can be called that (%v): install one with `%s`, and ask for it", invalid, s.addCommand(s.name, exampleVersion))
	}
	return fmt.Sprintf("install it with `%s`, or as one of %s", s.addCommand(s.name, cmp.Or(version, exampleVersion)), paths)
}
