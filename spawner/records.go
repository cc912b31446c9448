package spawner

import (
	"sync"

	"github.com/rbee-keeper/hive/spawner/process"
)

// records remembers the records that were read, each together with the stamp of its file, so that to list a hundred workers is
// not to decode a hundred files. What a file says now is what is returned: a file that was touched is read again.
type records struct {
	mu    sync.Mutex
	kept  map[string]keptRecord // by worker
	ended map[process.Identity]struct{}
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

func (r *records) keep(worker string, kept keptRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept == nil || len(r.kept) >= mostKept {
		r.kept = make(map[string]keptRecord)
	}
	r.kept[worker] = kept
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
