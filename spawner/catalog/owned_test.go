//go:build unix

package catalog_test

import (
	"io/fs"
	"syscall"
)

// owned is what is told of a file that belongs to another user.
type owned struct {
	fs.FileInfo
	user uint32
}

func (o owned) Sys() any {
	stat := *o.FileInfo.Sys().(*syscall.Stat_t)
	stat.Uid = o.user
	return &stat
}
