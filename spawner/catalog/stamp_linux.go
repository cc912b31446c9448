package catalog

import (
	"io/fs"
	"syscall"
)

func stampOf(info fs.FileInfo) stamp {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return stamp{device: s.Dev, inode: s.Ino, modified: s.Mtim.Nano(), changed: s.Ctim.Nano(), size: s.Size}
	}
	return stamp{}
}
