package spawner

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// pageSize is how many workers a page has at most. Each takes about 700 bytes on the wire; whoever sends it makes it smaller where
// the server takes less.
const pageSize = 1000

// List returns a page of the hive's workers by their ids, as they are now: the living ones and, if the request asks for them,
// those that have exited and are still remembered. A worker whose record cannot be read is left out and logged.
func (s *Spawner) List(ctx context.Context, req messages.ListRequest) (messages.WorkerPage, error) {
	page := messages.WorkerPage{HiveID: s.cfg.HiveID}
	ids, done, err := s.mayMean(req)
	if err != nil {
		return page, unexpected("list the workers", err)
	}
	at, found := slices.BinarySearch(ids, req.After)
	if found {
		at++
	}
	m := s.knowing(process.Listening{})
	defer s.seen(m)
	var group sync.WaitGroup
	group.Go(func() { s.took(m.table.Take()) }) // which takes as long as all until it is waited for
	m.listening = process.ReadListening(&s.found)
	records := s.readAll(ids[at:])
	soon := askSoon(m, records[:min(len(records), pageSize)])
	defer soon.Drop()
	group.Wait()
	workers := make([]known, 0, min(len(records), pageSize)) // which stay where they are
	var late []*known
	for _, rec := range records {
		if len(workers) == pageSize {
			page.Next = workers[pageSize-1].worker.WorkerID
			break
		}
		if k := s.meet(m, rec); k.alive || req.Exited {
			s.describe(m, &k, *rec)
			workers = append(workers, k)
			if k := &workers[len(workers)-1]; !soon.met(rec, k) {
				late = append(late, k)
			}
		}
	}
	if at == 0 && page.Next == "" {
		done()
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	rest := askHealth(m, late)
	defer rest.Drop()
	soon.hear(ctx)
	rest.hear(ctx)
	slices.SortFunc(workers, byID)
	page.Workers = make([]messages.Worker, len(workers))
	for i := range workers {
		page.Workers[i] = workers[i].worker
	}
	return page, nil
}

// mayMean returns the workers that the request may ask for, in order. Whoever has then met all of them calls done.
func (s *Spawner) mayMean(req messages.ListRequest) (ids []string, done func(), err error) {
	if !req.Exited {
		return s.records.mayLive(s.run)
	}
	ids, err = s.run.Workers()
	return ids, func() {}, err
}

// readAll returns the records of the workers that can be read.
func (s *Spawner) readAll(ids []string) []*record {
	records := make([]*record, 0, len(ids))
	for _, id := range ids {
		rec, err := s.records.read(s.run, id)
		if err != nil {
			s.skip(id, err)
			continue
		}
		records = append(records, rec)
	}
	return records
}

// Get returns one worker as it is now, or as it was when it ended. The error is a [messages.WorkerNotFound] if the hive knows
// none with this id.
func (s *Spawner) Get(ctx context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
	rec, err := s.find(req.WorkerID)
	if err != nil {
		return messages.WorkerAnswer{HiveID: s.cfg.HiveID}, err
	}
	k := s.now(ctx, rec, healthLimit)
	if !k.alive && k.worker.EndedAt.IsZero() {
		s.awaitEnd(ctx, *rec)
		s.ended(&k.worker, *rec)
	}
	return messages.WorkerAnswer{HiveID: s.cfg.HiveID, Worker: k.worker}, nil
}

// Living returns how many workers run.
func (s *Spawner) Living() int {
	ids, done, err := s.records.mayLive(s.run)
	if err != nil {
		return 0
	}
	living := 0
	for _, rec := range s.readAll(ids) {
		if s.lives(*rec) {
			living++
		}
	}
	done()
	return living
}

// lives reports whether a process of the worker is left, its first one or another that holds its lock.
func (s *Spawner) lives(rec record) bool { return rec.Process.Alive() || !s.isOver(rec) }

// find returns the record of a worker, or a [messages.WorkerNotFound].
func (s *Spawner) find(worker string) (*record, error) {
	rec, err := s.records.read(s.run, worker)
	switch {
	case err == nil:
		return rec, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, messages.Errorf(messages.WorkerNotFound, "hive %s knows no worker %s; worker_list tells those it has, with exited those that ended", s.cfg.HiveID, worker)
	}
	return nil, unexpected("read the record of the worker", err)
}

// skip logs why a worker is passed over, unless it is just being started. It says so once of each record, as long as that stays as it is.
func (s *Spawner) skip(worker string, err error) {
	if !errors.Is(err, fs.ErrNotExist) && s.records.breaks(worker, "", err) {
		s.cfg.Logger.Warn("record of a worker cannot be read; it is passed over", "worker", worker, "err", err)
	}
}
