//go:build unix

package doctor

import (
	"math"

	"golang.org/x/sys/unix"
)

// fileLimit returns how many files this process may have open, and how many it could allow itself.
func fileLimit() (soft, hard int64, known bool) { return rlimit(unix.RLIMIT_NOFILE) }

// userProcesses returns how many processes this user may have.
func userProcesses() (soft int64, known bool) {
	soft, _, known = rlimit(unix.RLIMIT_NPROC)
	return soft, known
}

func rlimit(resource int) (soft, hard int64, known bool) {
	var r unix.Rlimit
	if unix.Getrlimit(resource, &r) != nil {
		return 0, 0, false
	}
	return whole(r.Cur), whole(r.Max), true
}

// whole returns a limit; what is at least as much as fits is none.
func whole(n uint64) int64 {
	if n >= math.MaxInt64 {
		return unlimited
	}
	return int64(n)
}
