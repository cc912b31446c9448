//go:build unix

package process

import (
	"crypto/sha256"
	"fmt"
	"os"
	"syscall"
)

// Mark returns a word for a directory that is the same for all who have that directory, under whatever path, and another for
// any other, be it on another machine. It is empty if there is none.
func Mark(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	machine := bootID() // of two machines with one name, as copies of a disk have, each has its own
	if machine == "" {
		machine, _ = os.Hostname()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", machine, stat.Dev, stat.Ino))
	return fmt.Sprintf("%x", sum[:8])
}
