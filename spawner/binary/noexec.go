//go:build linux || darwin

package binary

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onNoexecMount reports whether the file system of path refuses to start programs.
func onNoexecMount(path string) bool {
	flag := uint64(0x8) // ST_NOEXEC of Linux.
	if runtime.GOOS == "darwin" {
		flag = 0x4 // MNT_NOEXEC of macOS.
	}
	var mount unix.Statfs_t
	return unix.Statfs(path, &mount) == nil && uint64(mount.Flags)&flag != 0
}
