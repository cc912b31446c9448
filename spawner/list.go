package spawner

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/rbee-keeper/hive/messages"
)

// pageSize is how many workers a page has at most. Each takes about 700 bytes on the wire; whoever sends it makes it smaller where
// the server takes less.
const pageSize = 1000

// List returns a page of the hive's workers by their ids, as they are now: the living ones and, if the request asks for them,
// those that have exited and are still remembered. A worker whose record cannot be read is left out and logged.
func (s *Spawner) List(ctx context.Context, req messages.ListRequest) (messages.WorkerPage, error) {
	page := messages.WorkerPage{HiveID: s.cfg.HiveID}
	ids, err := s.run.Workers()
	if err != nil {
		return page, unexpected("list the workers", err)
	}
	at, found := slices.BinarySearch(ids, req.After)
	if found {
		at++
	}
	m := s.look()
	var workers []known
	for _, id := range ids[at:] {
		if len(workers) == pageSize {
			page.Next = workers[pageSize-1].worker.WorkerID
			break
		}
		rec, err := s.records.read(s.run, id)
		if err != nil {
			s.skip(id, err)
			continue
		}
		if k := s.facts(m, *rec); k.alive || req.Exited {
			workers = append(workers, k)
		}
	}
	s.askHealth(ctx, m, workers)
	slices.SortFunc(workers, byID)
	for _, k := range workers {
		page.Workers = append(page.Workers, k.worker)
	}
	return page, nil
}

// Get returns one worker as it is now, or as it was when it ended. The error is a [messages.WorkerNotFound] if the hive knows
// none with this id.
func (s *Spawner) Get(ctx context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
	answer := messages.WorkerAnswer{HiveID: s.cfg.HiveID}
	rec, err := s.find(req.WorkerID)
	if err != nil {
		return answer, err
	}
	m := s.look()
	workers := []known{s.facts(m, *rec)}
	s.askHealth(ctx, m, workers)
	answer.Worker = workers[0].worker
	return answer, nil
}

// Living returns how many workers run.
func (s *Spawner) Living() int {
	ids, err := s.run.Workers()
	if err != nil {
		return 0
	}
	living := 0
	for _, id := range ids {
		if rec, err := s.records.read(s.run, id); err == nil && (rec.Process.Alive() || len(s.left(*rec)) > 0) {
			living++
		}
	}
	return living
}

// find returns the record of a worker, or a [messages.WorkerNotFound].
func (s *Spawner) find(worker string) (*record, error) {
	rec, err := s.records.read(s.run, worker)
	switch {
	case err == nil:
		return rec, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, notFound(worker, "hive %s knows no worker %s; worker_list tells those it has, with exited those that ended", s.cfg.HiveID, worker)
	}
	return nil, unexpected("read the record of the worker", err)
}

func notFound(_, format string, args ...any) error {
	return messages.Errorf(messages.WorkerNotFound, format, args...)
}

// skip logs why a worker is passed over, unless it is just being started.
func (s *Spawner) skip(worker string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Logger.Warn("record of a worker cannot be read; it is passed over", "worker", worker, "err", err)
	}
}
