//go:build unix

package logs

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags keep an open from following a link that was put there in the last moment, and from waiting for a pipe's
// other end.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY

// user returns who this process is. It is asked of the kernel once: each log that is looked at is compared with it.
var user = sync.OnceValue(os.Geteuid)

// foreign returns why a regular file is not this user's own log, or "".
func foreign(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return ""
	case int(stat.Uid) != user():
		return fmt.Sprintf("belongs to user %d, not to %d", stat.Uid, user())
	case stat.Nlink > 1:
		return fmt.Sprintf("has %d names (hard links)", stat.Nlink)
	}
	return ""
}
