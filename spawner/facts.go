package spawner

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// known is what was found out about one worker.
type known struct {
	record
	worker messages.Worker
	alive  bool
	// members are its processes, the leader first if it lives.
	members []process.Identity
}

// machine is one look at the process table and the sockets of this machine, for any number of workers.
type machine struct {
	table     process.Snapshot
	listening process.Listening
	searches  int // for what ended leaders left behind
}

// mostSearches bounds the searches of one look: each reads the open files of many processes.
const mostSearches = 8

// lookAt looks at what can be of one worker, which costs less. The caller gives back what it gets with [Spawner.seen].
func (s *Spawner) lookAt(rec record) *machine {
	m := s.knowing(process.ReadListeningOn(rec.Result.Port, &s.found))
	s.took(m.table.TakeFor(rec.Process.Identity))
	return m
}

// knowing returns the machine of which nothing is known but who listens.
func (s *Spawner) knowing(listening process.Listening) *machine {
	m, ok := s.looks.Get().(*machine)
	if !ok {
		m = &machine{}
	}
	m.listening, m.searches = listening, 0
	return m
}

// took logs why there is no process table.
func (s *Spawner) took(err error) {
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.cfg.Logger.Warn("process table cannot be read; only the first process of each worker is known", "err", err)
	}
}

// seen gives back what look returned: a table of thousands of processes takes half a megabyte.
func (s *Spawner) seen(m *machine) { s.looks.Put(m) }

// facts returns what the record, the kernel and the file of its end tell of a worker. Whether a living one is ready is not
// among them: see [askHealth].
func (s *Spawner) facts(m *machine, rec record) known {
	k := s.meet(m, &rec)
	s.describe(m, &k, rec)
	return k
}

// meet returns the worker of the record with its processes. It is asked of all who are remembered, most of whom have ended.
func (s *Spawner) meet(m *machine, rec *record) known {
	if s.records.isOver(rec.Process.Identity) {
		return known{}
	}
	k := known{members: m.table.Members(rec.Process.Identity)}
	k.alive = len(k.members) > 0 || rec.Process.Alive()
	if !k.alive {
		k.members, k.alive = s.leftBehind(m, *rec)
	}
	return k
}

// describe adds what is told of the worker.
func (s *Spawner) describe(m *machine, k *known, rec record) {
	k.record = rec
	r, job := rec.Result, rec.Job
	w := messages.Worker{
		WorkerID: r.WorkerID, JobID: job.JobID, PID: rec.Process.PID, State: messages.StateStarting, Model: messages.Redact(job.Model),
		Device: job.Device, Port: r.Port, Worker: r.Worker, WorkerType: r.WorkerType, Version: r.Version, BinaryPath: r.BinaryPath,
		StartedAt: rec.Process.At, LogPath: r.LogPath, Failure: s.failureOf(rec),
	}
	if k.alive {
		use := m.table.Usage(rec.Process.Identity)
		w.RSSBytes, w.CPUMS, w.Threads, w.Processes = use.RSS, use.CPU.Milliseconds(), use.Threads, max(use.Processes, len(k.members), 1)
		w.UptimeMS = max(time.Since(rec.Process.At).Milliseconds(), 0)
	} else {
		passed(&w)
		s.ended(&w, rec)
	}
	k.worker = w
}

// passed takes back that the worker was not ready in time, once it is ready or has ended: it says nothing of the worker any more, and
// who reads of a worker that served and ended takes it for the cause.
func passed(w *messages.Worker) {
	if f := w.Failure; f != nil && f.Code == messages.NotReady && f.Retryable {
		w.Failure = nil
	}
}

// leftBehind returns the processes of a worker whose first one has ended, and whether there are any: somebody who came from it
// holds its lock, and what the worker had, a GPU's memory above all.
func (s *Spawner) leftBehind(m *machine, rec record) (members []process.Identity, some bool) {
	if s.isOver(rec) {
		return nil, false
	}
	if m.searches++; m.searches > mostSearches {
		return nil, true
	}
	tree := s.treeOf(rec)
	defer tree.Group.Close()
	members, err := s.run.Members(tree) // a hive that just starts the worker again or sweeps it out holds the lock, too
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.cfg.Logger.Warn("what a worker left behind cannot be looked for", "worker", rec.Result.WorkerID, "err", err)
	}
	return members, err != nil || len(members) > 0 || tree.Group.Populated()
}

// isOver reports whether nothing is left of a worker whose first process has ended: nobody has its lock or is in its group. Once it is so, it
// stays so, whoever starts a worker with this id later.
func (s *Spawner) isOver(rec record) bool {
	if s.records.isOver(rec.Process.Identity) {
		return true
	}
	held, err := s.run.Held(rec.Result.WorkerID)
	if err != nil || held || s.groups.populated(rec) {
		return false
	}
	s.records.over(rec.Process.Identity)
	return true
}

// ended fills in how a worker ended, as far as a hive saw it.
func (s *Spawner) ended(w *messages.Worker, rec record) {
	w.State = messages.StateExited
	end, err := s.readEnd(rec)
	switch {
	case err == nil:
		w.ExitCode, w.Signal, w.OOMKilled, w.EndedAt = end.Code, end.Signal, end.OOMKilled, end.At
	case w.Failure != nil && w.Failure.Code == messages.WorkerExited:
		w.ExitCode, w.Signal, w.OOMKilled = w.Failure.ExitCode, w.Failure.Signal, w.Failure.OOMKilled
		if w.Failure.LivedMS > 0 {
			w.EndedAt = rec.Process.At.Add(time.Duration(w.Failure.LivedMS) * time.Millisecond)
		}
	case !errors.Is(err, fs.ErrNotExist) && s.records.breaks(w.WorkerID, "/end", err):
		s.cfg.Logger.Warn("end of a worker cannot be read", "worker", w.WorkerID, "err", err)
	}
	if !w.EndedAt.IsZero() {
		w.UptimeMS = max(w.EndedAt.Sub(w.StartedAt).Milliseconds(), 0)
	}
}

// serves reports whether nothing speaks against it that one of the worker's processes listens on its port.
func (k *known) serves(m *machine) bool {
	members := k.members
	if len(members) == 0 {
		members = []process.Identity{k.Process.Identity}
	}
	by, known := m.listening.By(k.worker.Port, members)
	return by || !known
}

// serves is known.serves for one worker, looked at now.
func (s *Spawner) serves(rec record) bool {
	m := s.lookAt(rec)
	defer s.seen(m)
	k := s.facts(m, rec)
	return k.serves(m)
}

// end is how a worker ended, as the run directory keeps it.
type end struct {
	// Process is whose end it is: the worker's id may have been taken by another since.
	Process process.Identity `json:"process"`
	// Code is the exit code; nil if a signal ended the worker or it is not known.
	Code *int `json:"code,omitempty"`
	// Signal is the signal that ended it; empty if none did or it is not known.
	Signal string `json:"signal,omitempty"`
	// OOMKilled says that memory ran out.
	OOMKilled bool `json:"oom_killed,omitempty"`
	// At is when the end was seen; zero if no hive lived to see it.
	At time.Time `json:"at,omitzero"`
}

// endsAtOnce bounds the ends that are written down at once: when hundreds of workers end together, each that waits for the
// system would keep a thread of the hive's, and Go gives back none.
const endsAtOnce = 2

// keepEnd writes down how a worker ended, for those who ask later, and returns that.
func (s *Spawner) keepEnd(rec record, exit process.Exit) end {
	s.ends <- struct{}{}
	defer func() { <-s.ends }()
	e := end{Process: rec.Process.Identity, Signal: exit.Signal, At: exit.At.UTC(), OOMKilled: outOfMemory(rec, exit)}
	if exit.Signal == "" && !exit.Unknown {
		e.Code = &exit.Code
	}
	s.writeEnd(rec, e)
	return e
}

// keepUnseenEnd writes down that a worker has ended while no hive was there to see it, unless its end is known. From now on its
// record grows old.
func (s *Spawner) keepUnseenEnd(rec record) {
	if _, err := s.readEnd(rec); errors.Is(err, fs.ErrNotExist) && rec.Failure == nil {
		s.writeEnd(rec, end{Process: rec.Process.Identity})
	}
}

// writeEnd keeps the end of a worker, unless what is kept says more. Two processes of the hive may see one worker end, and only its
// parent is told how it did; and who is late must not hide the end of a worker that was started since.
func (s *Spawner) writeEnd(rec record, e end) {
	worker := rec.Result.WorkerID
	var kept end
	err := s.run.AddExit(worker, e)
	if errors.Is(err, fs.ErrExist) {
		err = s.run.ReadExit(worker, &kept)
		if err != nil || e.replaces(kept) {
			err = s.run.WriteExit(worker, e)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // swept, with its directory
		s.cfg.Logger.Warn("end of a worker cannot be recorded", "worker", worker, "err", err)
	}
}

// replaces reports whether e is worth more than what is kept: it is the end of a later process, or says more of the same.
func (e end) replaces(kept end) bool {
	if e.Process != kept.Process {
		return e.Process.BootID != kept.Process.BootID || e.Process.StartTicks >= kept.Process.StartTicks
	}
	return e.says() > kept.says()
}

// says is how much the end tells: nothing, when it was, or how it was.
func (e end) says() int {
	switch {
	case e.Code != nil || e.Signal != "":
		return 2
	case !e.At.IsZero():
		return 1
	}
	return 0
}

// readEnd returns how the worker of the record ended. The error is fs.ErrNotExist if no hive saw it.
func (s *Spawner) readEnd(rec record) (end, error) {
	var e end
	if err := s.run.ReadExit(rec.Result.WorkerID, &e); err != nil {
		return end{}, err
	}
	if e.Process != rec.Process.Identity {
		return end{}, fs.ErrNotExist
	}
	return e, nil
}

// awaitEnd returns how the ended worker of the record ended, once that is written down. If this hive watches the worker, it waits for who
// does so; another process of the hive is given a moment. It returns nothing if that is over.
func (s *Spawner) awaitEnd(ctx context.Context, rec record) end {
	const patience, moment = 10 * time.Second, 100 * time.Millisecond
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-s.watched.written(rec.Process.Identity):
	case <-limited.Done():
	case <-s.quit:
	}
	ctx, stop := context.WithTimeout(ctx, moment)
	defer stop()
	for {
		e, err := s.readEnd(rec)
		if err == nil || pause(ctx, time.Millisecond) != nil {
			return e
		}
	}
}

// outOfMemory reports whether the kernel says that it ended the worker because memory ran out.
func outOfMemory(rec record, exit process.Exit) bool {
	if exit.Signal != "SIGKILL" {
		return false
	}
	killed, known := process.OOMKilled(rec.Process.Identity, exit.At)
	return killed && known
}

// byID orders records by their worker's id.
func byID(a, b known) int { return cmp.Compare(a.worker.WorkerID, b.worker.WorkerID) }
