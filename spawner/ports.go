package spawner

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// takePort takes the port that the job asks for, or a free one for 0.
func (s *Spawner) takePort(number int) (*process.Port, error) {
	port, err := s.ports.Take(number)
	switch {
	case err == nil:
		return port, nil
	case errors.Is(err, process.ErrHeld):
		return nil, s.portInUse(number, "")
	case errors.Is(err, process.ErrNoFreePort):
		e := messages.Errorf(messages.NoFreePort, "every port of %s is taken; end a worker or widen --port-range", s.ports.Range())
		e.Retryable = true
		return nil, e
	case errors.Is(err, fs.ErrPermission):
		return nil, messages.Errorf(messages.PortInUse, "%w: the hive does not have the privileges that ports below 1024 need; use one above", err)
	}
	return nil, unexpected("take a port", err)
}

// givePort makes the port of a worker its own, also where the worker lets go of what it inherited.
func (s *Spawner) givePort(rec record) {
	if err := s.run.GivePort(rec.Result.Port, rec.Process.Identity); err != nil {
		s.cfg.Logger.Warn("port of a worker cannot be recorded; it is its own as long as its lock is held", "worker", rec.Result.WorkerID, "port", rec.Result.Port, "err", err)
	}
}

// keepPort gives a worker that was found again its port, where the hive that started it was killed before it could.
func (s *Spawner) keepPort(rec record) {
	if !s.run.PortOwner(rec.Result.Port).Alive() {
		s.givePort(rec)
	}
}

// portInUse names the holder of a port where that can be known: the process that listens, or the worker that was given
// the port and does not listen yet. The worker except, if any, is not meant.
func (s *Spawner) portInUse(port int, except string) *messages.Error {
	rec, isWorkers := s.workerOnPort(port, except)
	holder, isListened := process.Listener(port)
	if isWorkers && (!isListened || s.has(rec, holder.PID)) {
		return messages.Errorf(messages.PortInUse, "port %d belongs to worker %s (PID %d); use another, or 0 for a free one", port, rec.Result.WorkerID, rec.Process.PID)
	}
	if isListened {
		return messages.Errorf(messages.PortInUse, "port %d is in use by %s (PID %d); use another, or 0 for a free one", port, holder.Name, holder.PID)
	}
	return messages.Errorf(messages.PortInUse, "port %d is in use; use another, or 0 for a free one", port)
}

func (s *Spawner) workerOnPort(port int, except string) (record, bool) {
	ids, err := s.run.Workers()
	if err != nil {
		return record{}, false
	}
	for _, id := range ids {
		if rec, err := s.readRecord(id); err == nil && id != except && rec.Result.Port == port && rec.Process.Alive() {
			return *rec, true
		}
	}
	return record{}, false
}

// has reports whether the process with the pid is one of the worker's.
func (s *Spawner) has(rec record, pid int) bool {
	m := s.lookAt(rec)
	defer s.seen(m)
	members := s.meet(m, &rec).members
	return rec.Process.PID == pid || slices.ContainsFunc(members, func(id process.Identity) bool { return id.PID == pid })
}
