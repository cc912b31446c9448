package spawner

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
)

// How often a watched worker is asked whether it listens: soon at first, then less and less often.
const (
	firstProbe = time.Millisecond
	lastProbe  = 16 * time.Millisecond
)

// watch waits until the worker listens on its port, ends, or has lived for the watch's time.
func (s *Spawner) watch(ctx context.Context, run *running) {
	if s.cfg.Watch <= 0 {
		return
	}
	deadline := time.NewTimer(s.cfg.Watch)
	defer deadline.Stop()
	delay := firstProbe
	probe := time.NewTimer(delay)
	defer probe.Stop()
	for {
		select {
		case <-run.Done():
			return
		case <-deadline.C:
			s.lastLook(ctx, run)
			return
		case <-ctx.Done():
			return
		case <-probe.C:
			if listening(ctx, run.record.Result.Port) {
				return
			}
			delay = min(2*delay, lastProbe)
			probe.Reset(delay)
		}
	}
}

// lastLook asks the kernel whether the worker has ended: where this process, or its machine, stood still for a while, the watch may be over
// before anybody has told it.
func (s *Spawner) lastLook(ctx context.Context, run *running) {
	if run.Started.Alive() {
		return
	}
	select {
	case <-run.Done():
	case <-ctx.Done():
	}
}

// listening reports whether anybody accepts connections on the port of this machine.
func listening(ctx context.Context, port int) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// settle waits for the worker to be ready, if the job asks for that, and makes sure that its end belongs to one story:
// to the job's, which then fails with it, or, from here on, to the worker's own.
func (s *Spawner) settle(ctx context.Context, job messages.Job, run *running, tell story) (messages.Result, error) {
	var err error
	if job.Wait == messages.WaitReady {
		alive := func() bool { return !run.ended() }
		err = s.awaitReady(ctx, job, run.record, alive, run.Done(), tell)
	}
	if run.ended() || !run.answer() { // who watches it may be busy writing down the end
		err = s.exited(run, tell)
	}
	if err != nil {
		return messages.Result{}, err
	}
	// Only now, because a record that says so is not taken back.
	s.publish(run.record)
	fault.Point("spawner-linked")
	return run.record.Result, nil
}

// exited narrates the end of a worker whose job is under way, keeps it as the job's answer, and returns it: a
// [messages.WorkerExited] with the whole dossier.
func (s *Spawner) exited(run *running, tell story) error {
	<-run.Done()
	run.end()
	rec, exit := run.record, run.Exit()
	oom := outOfMemory(rec, exit)
	tell.exited(rec.Result, exit, oom)
	took := lived(rec, exit)
	e := messages.Errorf(messages.WorkerExited, "%s %s after %s", rec.Result.Worker, exit, took)
	if exit.Signal == "" && !exit.Unknown {
		e.ExitCode = &exit.Code
	}
	e.Signal, e.LivedMS, e.OOMKilled = exit.Signal, took.Milliseconds(), oom
	s.dossier(e, rec, run.LogStart)
	if e.OOMKilled {
		e.Message += ", because the machine ran out of memory: take a smaller model, or another machine"
	}
	if n := len(e.LogTail); n > 0 {
		e.Message += ": " + e.LogTail[n-1]
	} else {
		e.Message += " and wrote nothing to " + rec.Result.LogPath
	}
	rec.Failure = e
	fault.Point("spawner-ended")
	if err := s.replaceRecord(rec, func(record) bool { return true }); err != nil {
		s.cfg.Logger.Warn("end of a worker cannot be recorded", "worker", rec.Result.WorkerID, "err", err)
	}
	fault.Point("spawner-replaced")
	return e
}
