//go:build unix

package logs

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags keep an open from following a link that was put there in the last moment, and from waiting for a pipe's
// other end.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY

// foreign returns why a regular file is not this user's own log, or "".
func foreign(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return ""
	case int(stat.Uid) != os.Geteuid():
		return fmt.Sprintf("belongs to user %d, not to %d", stat.Uid, os.Geteuid())
	case stat.Nlink > 1:
		return fmt.Sprintf("has %d names (hard links)", stat.Nlink)
	}
	return ""
}
