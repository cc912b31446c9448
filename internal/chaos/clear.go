//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// clear has the hive end every worker, and requires that nothing is left then: no process, no lock.
func (st *stage) clear(ctx context.Context, answers []answer) (wrong []string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	starts, _ := st.startsOf()
	for _, a := range answers {
		for _, pid := range append(starts[a.id], a.pid) {
			if !alive(pid) { // with its machine, or deleted
				continue
			}
			if err := st.end(ctx, a.workerID(), pid); err != nil {
				return append(wrong, fmt.Sprintf("%s: its worker cannot be deleted: %v", a.id, err))
			}
		}
	}
	if left := living(st.path("work")); len(left) > 0 {
		wrong = append(wrong, fmt.Sprintf("processes %v are left", left))
	}
	for _, pattern := range []string{"run/workers/*/lock", "run/ports/*"} {
		locks, _ := filepath.Glob(st.path(pattern))
		for _, path := range locks {
			// A process that is being forked has a copy of every lock for a moment.
			if await(ctx, path, time.Second, func() bool { return free(path) }) != nil {
				wrong = append(wrong, path+" is locked and nobody is there")
			}
		}
	}
	return wrong
}

// end has the hive end a worker, once it is there: it may be on its way back to the server.
func (st *stage) end(ctx context.Context, worker string, pid int) error {
	for {
		_, err := st.queen.Delete(ctx, hiveID, messages.DeleteJob{WorkerID: worker, PID: pid, GraceMS: 200}, nil)
		_, away := errors.AsType[*queen.NoHiveError](err)
		if !away || wait(ctx, 10*time.Millisecond) != nil {
			return err
		}
	}
}

// free reports whether nobody has the lock.
func free(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil
}
