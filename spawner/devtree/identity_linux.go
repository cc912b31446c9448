package devtree

import (
	"io/fs"
	"syscall"
)

func identityOf(info fs.FileInfo) identity {
	id := identity{size: info.Size(), modified: info.ModTime().UnixNano()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		id.inode, id.changed = s.Ino, s.Ctim.Nano()
	}
	return id
}
