// Package doctor examines whether a hive can do its work on this machine, with its settings and as this user, and says
// what to do where it cannot. It changes nothing: what is missing stays missing, and no observer hears of it.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/devtree"
	"github.com/rbee-keeper/hive/spawner/process"
)

// DefaultTimeout bounds each check unless [Config.Timeout] does.
const DefaultTimeout = 5 * time.Second

// Config is the settings of the hive to examine. HiveID, RunDir and LogDir are required.
type Config struct {
	// HiveID is the hive's id.
	HiveID string
	// Subjects names the subjects; the zero value uses [messages.DefaultPrefix].
	Subjects messages.Subjects
	// NATS says which server to ask and as whom.
	NATS natsconn.Config
	// Queue says whether the hive takes queued jobs; the zero value is QueueAuto.
	Queue Queue
	// CatalogDir is the directory of installed workers; empty means that there are none.
	CatalogDir string
	// DevRoot is a directory in a Cargo workspace; empty means that none is examined.
	DevRoot string
	// Build says how development builds are kept up to date; nil means that they are not.
	Build *devtree.Options
	// RunDir is the directory of locks and records.
	RunDir string
	// LogDir is the directory of the workers' logs.
	LogDir string
	// WorkDir is the working directory of workers; empty means "/".
	WorkDir string
	// Ports is the range that workers get their ports from; zero means 9001 to 9999.
	Ports process.PortRange
	// Devices says how the devices of this machine are found; the zero value asks this machine.
	Devices device.Config
	// Timeout bounds each check; 0 means [DefaultTimeout].
	Timeout time.Duration
}

// Status says how much a check matters.
type Status string

// The statuses. With a failure a hive does not start or fails at its jobs; with a warning it works, and not as well as it
// could, or something could not be found out that should be known.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failure Status = "failure"
)

// Check is what was found out about one thing.
type Check struct {
	// Area is what the thing belongs to: server, permissions, catalog, directories, limits, devices, ports or system.
	Area string `json:"area"`
	// Name names the thing in its area, in snake_case. Some names come more than once, as often as there are such things.
	Name string `json:"name"`
	// Status is how it is.
	Status Status `json:"status"`
	// Message is what was found, on one line.
	Message string `json:"message"`
	// Advice is what to do; empty if the status is [OK].
	Advice string `json:"advice"`
}

// Report is all checks in a fixed order of areas, and how many there are of each status.
type Report struct {
	HiveID   string  `json:"hive_id"`
	Checks   []Check `json:"checks"`
	OK       int     `json:"ok"`
	Warnings int     `json:"warnings"`
	Failures int     `json:"failures"`
}

// Examine makes every check. The areas are examined at the same time, and one check that fails, breaks or does not end keeps
// no other from being made. It returns early when ctx ends.
func Examine(ctx context.Context, cfg Config) Report {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	e := examiner{Config: cfg}
	areas := []func(context.Context) []Check{e.nats, e.catalog, e.directories, e.limits, e.devices, e.ports, e.system}
	found := make([][]Check, len(areas))
	var group sync.WaitGroup
	for i, examine := range areas {
		group.Go(func() { found[i] = examine(ctx) })
	}
	group.Wait()
	return newReport(cfg.HiveID, slices.Concat(found...))
}

func newReport(hive string, checks []Check) Report {
	r := Report{HiveID: hive, Checks: checks}
	for i, check := range checks {
		checks[i].Message, checks[i].Advice = messages.OneLine(check.Message), messages.OneLine(check.Advice)
		switch check.Status {
		case OK:
			r.OK++
		case Warning:
			r.Warnings++
		default:
			r.Failures++
		}
	}
	return r
}

// examiner makes the checks of one [Examine].
type examiner struct {
	Config
	grace time.Duration // how long a check may take to say itself that its time is over; 0 means a second
}

// probe is one check. What it finds is one line or several; a line without a name gets the probe's.
type probe struct {
	name string
	run  func(context.Context) []Check
	late []Check // what it means that run does not end in time; nil if that is not known
}

// run makes the probes of an area, one behind the other.
func (e examiner) run(ctx context.Context, area string, probes ...probe) []Check {
	var all []Check
	for _, p := range probes {
		for _, check := range e.bounded(ctx, p) {
			check.Area = area
			if check.Name == "" {
				check.Name = p.name
			}
			all = append(all, check)
		}
	}
	return all
}

// grace is how long a check may take to say itself that its time is over, unless an examiner gives it longer.
const grace = time.Second

// bounded makes one probe. One that heeds no context, because the system does not (a file system that has gone), is left
// behind.
func (e examiner) bounded(ctx context.Context, p probe) []Check {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	done := make(chan []Check, 1)
	go func() {
		defer func() {
			if broken := recover(); broken != nil {
				done <- fail("report this as a fault of rbee-hive", "the check itself broke: %v", broken)
			}
		}()
		done <- p.run(ctx)
	}()
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
	}
	select {
	case found := <-done:
		return found
	case <-time.After(cmp.Or(e.grace, grace)):
		if p.late != nil {
			return p.late
		}
		return fail("find out what is stuck, or give it longer with --timeout", "not known after %s", e.Timeout)
	}
}

func ok(format string, args ...any) []Check {
	return []Check{{Status: OK, Message: fmt.Sprintf(format, args...)}}
}

func warn(advice, format string, args ...any) []Check {
	return []Check{{Status: Warning, Advice: advice, Message: fmt.Sprintf(format, args...)}}
}

func fail(advice, format string, args ...any) []Check {
	return []Check{{Status: Failure, Advice: advice, Message: fmt.Sprintf(format, args...)}}
}

// named gives the lines a name of their own.
func named(name string, checks []Check) []Check {
	for i := range checks {
		checks[i].Name = name
	}
	return checks
}
