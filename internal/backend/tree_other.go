//go:build unix && !linux

package backend

import (
	"syscall"
	"time"
)

const killLimit = 5 * time.Second

// tree is the process group of the server: these systems tell no more.
type tree struct{ group int }

func newTree(_, server int) *tree { return &tree{group: server} }

func adopt() error { return nil }

// serverAttributes has the server lead a process group.
func serverAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (t *tree) reap() {}

// end sends the signal to the group and returns when it is empty or the time is over.
func (t *tree) end(sig syscall.Signal, over time.Time) (told, left int) {
	const look = 20 * time.Millisecond
	if t.group <= 0 || syscall.Kill(-t.group, sig) != nil {
		return 0, 0
	}
	for time.Now().Before(over) {
		if syscall.Kill(-t.group, 0) != nil {
			return 1, 0
		}
		<-time.After(look)
	}
	return 1, 1
}

func (t *tree) kill() (killed, left int) {
	return t.end(syscall.SIGKILL, time.Now().Add(killLimit))
}

func (t *tree) listens(int) (owns, known bool) { return false, false }
