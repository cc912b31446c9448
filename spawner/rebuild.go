package spawner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// Rebuild says how development builds are kept up to date. The zero value keeps none.
type Rebuild struct {
	// On switches it on.
	On bool
	// Sources holds the directory of each worker's source that is not where it is looked for.
	Sources map[string]string
	// Features are those that Cargo builds with.
	Features []string
	// Timeout bounds one build; 0 means [devtree.DefaultBuildTimeout].
	Timeout time.Duration
	// Environ is what the environment of builds is taken from, by a list of names; nil means this process's own.
	Environ []string
}

// newUpdater returns what keeps the development builds up to date; nil if nothing does.
func newUpdater(c Config) (*devtree.Updater, error) {
	if !c.Rebuild.On {
		return nil, nil
	}
	return devtree.NewUpdater(devtree.Options{
		Root: c.DevRoot, Sources: c.Rebuild.Sources, Features: c.Rebuild.Features, Timeout: c.Rebuild.Timeout,
		Environ: c.Rebuild.Environ,
	})
}

// upToDate has the development build that the search ended with rebuilt if it is older than its sources, and built if the search
// found none, and returns it. What is in the catalog stays as it is, and so does a search for what only the catalog may hold.
//
// A build takes minutes, in which the job does nothing: it gives its slot back when that begins, and takes one again to go on.
func (s *Spawner) upToDate(ctx context.Context, job messages.Job, worker device.WorkerType, found located, missing error, tell story, slot *slot) (located, error) {
	if s.updater == nil || found.source == sourceCatalog || missing != nil && !isMissing(missing) {
		return found, missing
	}
	ctx, cancel := untilDeadline(ctx, job)
	defer cancel()
	name := worker.Binary()
	path, profile, err := s.updater.Update(ctx, name, func(step devtree.Step) {
		if step.Kind == devtree.Checked && !step.Verdict.Fresh {
			s.builds.begin(job)
			slot.giveBack()
		}
		tell.rebuild(name, step)
	})
	if err == nil {
		err = slot.takeAgain(ctx)
	}
	switch {
	case errors.Is(err, devtree.ErrNoSource):
		if missing == nil {
			tell.cannotCompare(found, err)
		}
		return found, missing
	case err != nil:
		failure := buildFailed(ctx, name, job, err)
		s.builds.failed(job, failure)
		return located{}, failure
	}
	return located{path: path, source: profile, worker: name}, nil
}

// untilDeadline returns ctx, which ends with errTooLate at the deadline of the job, if it has one.
func untilDeadline(ctx context.Context, job messages.Job) (context.Context, context.CancelFunc) {
	if job.Deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, job.Deadline, errTooLate)
}

// wouldBuild returns what upToDate would, without a build: where the program is built that is out of date, and why it is.
func (s *Spawner) wouldBuild(ctx context.Context, job messages.Job, worker device.WorkerType, found located, missing error) (located, error) {
	if s.updater == nil || found.source == sourceCatalog || missing != nil && !isMissing(missing) {
		return found, missing
	}
	name := worker.Binary()
	v, err := s.updater.Check(name)
	switch {
	case errors.Is(err, devtree.ErrNoSource):
		return found, missing
	case err != nil:
		return located{}, buildFailed(ctx, name, job, err)
	}
	why := "the catalog holds none, and it is up to date"
	if !v.Fresh {
		why = messages.OneLine("it is built first, because it " + v.Because)
	}
	return located{path: v.Path, source: v.Profile, worker: name, why: why}, nil
}

var errTooLate = errors.New("the deadline passed")

// isMissing reports whether a search ended without a binary that can be started.
func isMissing(err error) bool {
	return errors.Is(err, messages.WorkerNotInstalled) || errors.Is(err, messages.BinaryInvalid)
}

// buildFailed says for the job's caller why there is no program.
func buildFailed(ctx context.Context, name string, job messages.Job, err error) error {
	var failed *devtree.BuildError
	switch {
	case errors.Is(err, errTooLate):
		return messages.Errorf(messages.DeadlineExceeded, "the deadline %s passed while %s was built: build it first, or give the job more time",
			job.Deadline.Format(time.RFC3339Nano), name)
	case errors.Is(err, devtree.ErrClosed) || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return draining("the build of %s was cancelled", name)
	case binary.Retryable(err): // this process could not look at it now
		return unexpected("look for the sources of "+name, err)
	case !errors.As(err, &failed):
		return messages.Errorf(messages.BuildFailed, "%s was not built: %w", name, err)
	}
	e := messages.Errorf(messages.BuildFailed, "%w", failed)
	e.ExitCode, e.Signal, e.LogPath, e.Command = failed.Code, failed.Signal, failed.LogPath, failed.Command
	for _, line := range failed.Lines {
		e.LogTail = append(e.LogTail, messages.Redact(messages.OneLine(line)))
	}
	return e
}

// rebuild tells one step of keeping a development build up to date.
func (t story) rebuild(name string, step devtree.Step) {
	v := step.Verdict
	fields := messages.Fields{Worker: name, LogPath: step.LogPath}
	say := func(format string, args ...any) {
		t.tell(messages.ActionAutoRebuild, fields, "%s", messages.OneLine(fmt.Sprintf(format, args...)))
	}
	switch step.Kind {
	case devtree.Checked:
		t.compared(name, v)
	case devtree.Waiting:
		say("Waiting: %s", step.Text)
	case devtree.Started:
		fields.Args = step.Command
		say("🔨 Building %s: %s", name, strings.Join(step.Command, " "))
	case devtree.Line:
		say("Build: %s", step.Text)
	case devtree.Dropped:
		fields.DroppedLines = step.Dropped
		say("Build: %s are not told; they are in the log of the build", count(step.Dropped, "line", "lines"))
	case devtree.Again:
		say("Building %s once more: its sources changed meanwhile", name)
	case devtree.Elsewhere:
		fields.BinaryPath, fields.Source = v.Path, v.Profile
		say("Built by another hive: %s", v.Path)
	case devtree.Built:
		fields.BinaryPath, fields.Source, fields.TookMS = v.Path, v.Profile, step.Took.Milliseconds()
		say("✅ Built %s in %s", name, step.Took.Round(time.Millisecond))
	}
}

// compared tells what a comparison of a development build with its sources came to.
func (t story) compared(name string, v devtree.Verdict) {
	fields := messages.Fields{BinaryPath: v.Path, Worker: name, Source: v.Profile, TookMS: v.Took.Milliseconds(), StaleFile: v.File}
	text := fmt.Sprintf("Out of date: %s %s", v.Path, v.Because)
	if v.Fresh {
		text = fmt.Sprintf("Up to date: %s (%s compared in %d ms)", v.Path, count(v.Files, "file", "files"), v.Took.Milliseconds())
	}
	t.tell(messages.ActionAutoUpdate, fields, "%s", messages.OneLine(text))
}

// cannotCompare tells that a development build is started as it is, because nobody knows where it comes from.
func (t story) cannotCompare(found located, err error) {
	t.emit(messages.Event{
		Action: messages.ActionAutoUpdate, Level: messages.LevelWarn, WorkerID: t.job.WorkerID,
		Human:  messages.OneLine(fmt.Sprintf("Not compared with its source: %s: %v; say where that is with --dev-source", found.path, err)),
		Fields: messages.Fields{BinaryPath: found.path, Worker: found.worker, Source: found.source},
	})
}

// place returns where a development build was found, in short.
func (l located) place() string {
	if short := filepath.Join("target", l.source, filepath.Base(l.path)); strings.HasSuffix(l.path, string(filepath.Separator)+short) {
		return short
	}
	return l.path
}
