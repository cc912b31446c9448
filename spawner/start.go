package spawner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/process"
)

// Variables that every worker gets.
const (
	envWorkerID = "RBEE_WORKER_ID"
	envJobID    = "RBEE_JOB_ID"
	envHiveID   = "RBEE_HIVE_ID"
	envPort     = "RBEE_PORT"
)

// inherited names the variables of the hive that workers get, too: what programs, GPU runtimes and model caches need to
// find their files. Everything else stays behind, above all the hive's NATS credentials.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "HF_HOME", "HF_HUB_CACHE",
	"CUDA_HOME", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
}

// environment returns what workers get of own, the hive's environment: the inherited variables and those in pass. It
// refuses to pass on what begins with NATS_ or RBEE_: the hive's credentials and its settings.
//
// It also sees to it that a number means the same card to the worker as to the hive: CUDA counts by the bus, and counts all
// cards. The hive's own CUDA_VISIBLE_DEVICES bounds what jobs may name (package device); passed on, it would number the cards
// anew. Of one that names MIG devices the opposite is true: CUDA counts those only there.
func environment(own, pass []string) ([]string, error) {
	allowed := make(map[string]bool)
	for _, name := range inherited {
		allowed[name] = true
	}
	for _, name := range pass {
		if name == device.EnvOrder || name == device.EnvVisible {
			return nil, fmt.Errorf("variable %s cannot be passed on to workers: it would change which card a number means; set it for one worker in the env of its manifest", name)
		}
		if strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "RBEE_") || name == "" || strings.ContainsAny(name, "= ") {
			return nil, fmt.Errorf("variable %q cannot be passed on to workers: it is the hive's own, or no name", name)
		}
		allowed[name] = true
	}
	env := []string{device.EnvOrder + "=" + device.PCIOrder}
	for _, entry := range own {
		name, text, _ := strings.Cut(entry, "=")
		if allowed[name] || name == device.EnvVisible && device.NamesMIG(text) || strings.HasPrefix(name, "LC_") {
			env = append(env, entry)
		}
	}
	return env, nil
}

// command returns the process that serves the job, with the arguments and the environment that its manifest or the worker
// contract says, and the terms on which it runs.
func (s *Spawner) command(ctx context.Context, job messages.Job, found located, port string) (process.Command, *terms, error) {
	v := values{hive: s, job: job, entry: found.entry, port: port}
	args, err := v.arguments(ctx)
	if err != nil {
		return process.Command{}, nil, err
	}
	env, err := v.environment(ctx)
	if err != nil {
		return process.Command{}, nil, err
	}
	cmd := process.Command{Path: found.path, Args: args, Env: env, Dir: s.cfg.WorkDir, LogPath: s.logPath(job)}
	if found.program != nil && !found.program.Script {
		cmd.File = found.program.File
	}
	return cmd, termsOf(found.entry.Manifest, args), nil
}

// queenOf returns where the job's worker sends its heartbeats.
func (s *Spawner) queenOf(job messages.Job) string {
	if job.QueenURL != "" {
		return job.QueenURL
	}
	return s.cfg.QueenURL
}

func (s *Spawner) result(job messages.Job, worker device.WorkerType, found located, cmd process.Command, port int) messages.Result {
	return messages.Result{
		JobID: job.JobID, HiveID: s.cfg.HiveID, WorkerID: job.WorkerID, Port: port, BinaryPath: found.path,
		WorkerType: string(worker), Worker: found.worker, Version: found.version, Source: found.source,
		Device: job.Device, Model: job.Model, LogPath: cmd.LogPath,
	}
}

// running is a process whose job has not been answered yet, or has.
type running struct {
	*process.Process
	record record
	fate   atomic.Int32
}

// The fates of a running worker: which of the two comes first, its job's answer or its end, decides whose story the end
// belongs to.
const (
	fateOpen int32 = iota
	fateAnswered
	fateEnded
)

// answer says that the job is answered, and reports false if the worker's end came first.
func (r *running) answer() bool { return r.fate.CompareAndSwap(fateOpen, fateAnswered) }

// end says that the worker has ended, and reports whether its job was answered before.
func (r *running) end() bool {
	return !r.fate.CompareAndSwap(fateOpen, fateEnded) && r.fate.Load() == fateAnswered
}

// ended reports whether the process has ended.
func (r *running) ended() bool {
	select {
	case <-r.Done():
		return true
	default:
		return false
	}
}

// start writes down what is about to be started, starts it, and makes that the worker's record. Nothing of the hive
// holds the worker's locks when it returns: they are the worker's alone.
func (s *Spawner) start(ctx context.Context, what entry, found located, cmd process.Command, claim *process.Claim, port *process.Port) (*running, error) {
	if ctx.Err() != nil {
		return nil, draining("the worker was not started")
	}
	if deadline := what.Job.Deadline; !deadline.IsZero() && !time.Now().Before(deadline) {
		return nil, messages.Errorf(messages.DeadlineExceeded, "the deadline %s passed before the worker could be started", deadline.Format(time.RFC3339Nano))
	}
	group, err := s.groupFor(what.Job)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	cmd.Group = group
	what.LogStart = sizeOf(cmd.LogPath)
	body, err := what.encode()
	if err == nil {
		err = claim.Prepare(body)
	}
	if err != nil {
		s.groups.drop(what.Job)
		return nil, unexpected("prepare the worker", err)
	}
	fault.Point("spawner-prepared")
	p, err := s.startCommand(ctx, what.Job, cmd, claim, port)
	if err != nil {
		if replaced := changed(found, cmd); replaced != nil {
			return nil, replaced
		}
		return nil, spawnFailed(cmd, err)
	}
	if err := s.checkStarted(p, found, cmd); err != nil {
		s.groups.drop(what.Job)
		return nil, err
	}
	rec := record{entry: what}
	rec.started(p.Started)
	run := &running{Process: p, record: rec}
	err = claim.Commit(p.Started)
	fault.Point("spawner-recorded")
	s.givePort(rec)
	claim.Release()
	port.Release()
	fault.Point("spawner-released")
	s.observe(p, rec, func(exit process.Exit, end end) {
		if run.end() {
			s.cfg.Exited(exitEvent(rec.Result, exit, end.OOMKilled))
		}
	})
	if err != nil {
		s.cfg.Logger.Error("worker runs without a record", "job", rec.Job.JobID, "worker", rec.Job.WorkerID, "pid", p.PID, "err", err)
	}
	return run, nil
}

// startCommand starts the command in its control group, or, where the system refuses that, without one.
func (s *Spawner) startCommand(ctx context.Context, job messages.Job, cmd process.Command, claim *process.Claim, port *process.Port) (*process.Process, error) {
	p, err := startRetrying(ctx, cmd, claim, port)
	if err == nil || cmd.Group == nil || binary.Retryable(err) {
		return p, err
	}
	s.groups.drop(job)
	cmd.Group = nil
	p, without := startRetrying(ctx, cmd, claim, port)
	if without == nil {
		s.cfg.Logger.Warn("worker cannot be started in its control group, and runs without", "job", job.JobID, "worker", job.WorkerID, "err", err)
	}
	return p, without
}

// checkStarted kills what was started if it may be something else than what was verified: where the start went by the path,
// as that of a script always does, another file may have been put there in between.
func (s *Spawner) checkStarted(p *process.Process, found located, cmd process.Command) error {
	replaced := changed(found, cmd)
	if replaced == nil {
		return nil
	}
	p.Kill()
	s.watcher.Watch(p, func(process.Exit) {})
	select {
	case <-p.Done():
	case <-s.quit:
	}
	return replaced
}

// changed returns an error if the start went by the path, and something else than what was verified lies there, or nothing:
// an administrator was quicker.
func changed(found located, cmd process.Command) error {
	if found.program == nil || cmd.File != nil && process.ExecutesFiles {
		return nil
	}
	err := found.program.Replaced()
	if err == nil {
		return nil
	}
	e := messages.Errorf(messages.BinaryInvalid, "%w", err)
	e.Retryable, e.Command = true, redacted(cmd)
	return e
}

// startRetrying starts the command, and again after 1, 2 and 4 ms where the cause passes by itself: a binary that was
// written a moment ago is busy until every child forked in that moment has executed something else (ETXTBSY).
func startRetrying(ctx context.Context, cmd process.Command, claim *process.Claim, port *process.Port) (*process.Process, error) {
	for delay := time.Millisecond; ; delay *= 2 {
		p, err := process.Start(cmd, claim, port)
		if err == nil || delay > 4*time.Millisecond || !binary.Retryable(err) || pause(ctx, delay) != nil {
			return p, err
		}
	}
}

// spawnFailed tells why the system refused to start the command.
func spawnFailed(cmd process.Command, err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return messages.Errorf(messages.UnsupportedPlatform, "%w", err)
	}
	var e *messages.Error
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		e = messages.Errorf(messages.SpawnFailed, "the worker's log, input or program cannot be opened: %w", file)
	} else {
		e = messages.Errorf(messages.SpawnFailed, "%w", binary.Explain(cmd.Path, cmd.Dir, err))
	}
	e.Retryable = binary.Retryable(err) || errors.Is(err, syscall.ENOSPC)
	e.Command = redacted(cmd)
	return e
}
