//go:build unix

package binary

import (
	"fmt"
	"io/fs"
	"syscall"
)

// CheckOwner returns nil when the file or directory at path, which info tells of, belongs to the user with the id or to
// root; else an [*Error] with the cause [Foreign]: whoever owns it can replace what is started. On Windows, where a file
// tells no such id, it always returns nil.
func CheckOwner(path string, info fs.FileInfo, user int) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 || int(stat.Uid) == user {
		return nil
	}
	return &Error{Path: path, Cause: Foreign, Reason: fmt.Sprintf(
		"belongs to user %d, who could replace what is started: give it to the hive's user %d or to root (chown)", stat.Uid, user)}
}
