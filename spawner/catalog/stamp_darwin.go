package catalog

import (
	"io/fs"
	"syscall"
)

func stampOf(info fs.FileInfo) stamp {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return stamp{device: uint64(s.Dev), inode: s.Ino, modified: s.Mtimespec.Nano(), changed: s.Ctimespec.Nano(), size: s.Size}
	}
	return stamp{}
}
