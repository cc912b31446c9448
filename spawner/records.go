package spawner

import (
	"slices"
	"sync"

	"github.com/rbee-keeper/hive/spawner/process"
)

// records remembers the records that were read, each together with the stamp of its file, so that to list a hundred workers is
// not to decode a hundred files. What a file says now is what is returned: a file that was touched is read again. Who has ended is
// remembered, too, since most of the workers in a run directory have: they are looked for again only when one that has ended may
// have been started again.
type records struct {
	mu   sync.Mutex
	kept map[string]keptRecord // by worker

	living  []string      // the workers that had not ended, as far as was known, in order
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
		r.keep(worker, keptRecord{stamp: stamp, record: *rec})
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

// ended remembers that the process of the record has ended if that is certain.
func (r *records) ended(rec *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept, ok := r.kept[rec.Result.WorkerID]
	if ok && !kept.gone && kept.Process == rec.Process && rec.Process.Gone() {
		kept.gone = true
		r.kept[rec.Result.WorkerID] = kept
	}
}

// mayLive returns the workers that have a directory, but for those that are known to have ended, in order. Whoever has then read
// the record of each calls done.
func (r *records) mayLive(run *process.RunDir) (ids []string, done func(), err error) {
	stamp, err := run.WorkersStamp()
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if stamp == r.livings {
		r.living = slices.DeleteFunc(r.living, r.isGone)
		return slices.Clone(r.living), func() {}, nil
	}
	settled := stamp.Settled()
	ids, err = run.Workers()
	return ids, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if settled {
			r.living, r.livings = slices.DeleteFunc(slices.Clone(ids), r.isGone), stamp
		}
	}, err
}

func (r *records) isGone(worker string) bool { return r.kept[worker].gone }
