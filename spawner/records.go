package spawner

import (
	"slices"
	"sync"

	"github.com/rbee-keeper/hive/spawner/process"
)

// records remembers the records that were read, each together with the stamp of its file, so that to list a hundred workers is
// not to decode a hundred files. What a file says now is what is returned: a file that was touched is read again. Most workers
// in a run directory have ended: they are passed over until one of them may have been started again.
type records struct {
	mu    sync.Mutex
	kept  map[string]keptRecord // by worker
	ended map[process.Identity]struct{}
	torn  map[string]string // by file, why it cannot be read

	living  []string      // the workers of which something may have been left, in order
	livings process.Stamp // of the run directory when they were all; zero if they never were
}

type keptRecord struct {
	stamp process.Stamp
	record
}

// mostKept bounds what is remembered.
const mostKept = 4096

// read returns the worker's record as [readRecord] does.
func (r *records) read(run *process.RunDir, worker string) (*record, error) {
	stamp, err := run.Stamp(worker)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	kept, ok := r.kept[worker]
	if ok && kept.stamp != stamp {
		delete(r.kept, worker)
	}
	r.mu.Unlock()
	if ok && kept.stamp == stamp {
		return &kept.record, nil
	}
	rec, err := readRecord(run, worker)
	if err != nil {
		return nil, err
	}
	if stamp.Settled() {
		r.keep(worker, keptRecord{stamp, *rec})
	}
	return rec, nil
}

// breaks reports whether it is news that a file of a worker, its record unless file says another, cannot be read for this reason.
func (r *records) breaks(worker, file string, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, reason := worker+file, err.Error()
	if r.torn[key] == reason {
		return false
	}
	if r.torn == nil || len(r.torn) >= mostKept {
		r.torn = make(map[string]string)
	}
	r.torn[key] = reason
	return true
}

func (r *records) keep(worker string, kept keptRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept == nil || len(r.kept) >= mostKept {
		r.kept = make(map[string]keptRecord)
	}
	r.kept[worker] = kept
	delete(r.torn, worker)
}

// over remembers that nothing is left of the worker that this process led: the process has ended, and nobody has the lock that
// all others could only inherit.
func (r *records) over(leader process.Identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil || len(r.ended) >= mostKept {
		r.ended = make(map[process.Identity]struct{})
	}
	r.ended[leader] = struct{}{}
}

func (r *records) isOver(leader process.Identity) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, over := r.ended[leader]
	return over
}

// mayLive returns the workers that have a directory, but for those that are known to be over, in order. Whoever has then met all
// of them calls done.
func (r *records) mayLive(run *process.RunDir) (ids []string, done func(), err error) {
	stamp, err := run.WorkersStamp()
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if stamp == r.livings {
		r.living = slices.DeleteFunc(r.living, r.knownOver)
		return slices.Clone(r.living), func() {}, nil
	}
	settled := stamp.Settled()
	ids, err = run.Workers()
	return ids, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if settled {
			r.living, r.livings = slices.DeleteFunc(slices.Clone(ids), r.knownOver), stamp
		}
	}, err
}

// knownOver reports whether nothing is left of the worker of the record that is kept. The caller holds r.mu.
func (r *records) knownOver(worker string) bool {
	kept, ok := r.kept[worker]
	if ok {
		_, ok = r.ended[kept.Process.Identity]
	}
	return ok
}
