package doctor

import (
	"io/fs"
	"math"

	"golang.org/x/sys/unix"
)

// diskOf returns the disk of the directory at path, or of the nearest one above it that exists.
func diskOf(path string) (d disk, known bool, err error) {
	above, err := nearest(path)
	if err != nil {
		return disk{}, false, err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(above, &stat); err != nil {
		return disk{}, false, &fs.PathError{Op: "statfs", Path: above, Err: err}
	}
	d = disk{
		memory: uint32(stat.Type) == unix.TMPFS_MAGIC || uint32(stat.Type) == unix.RAMFS_MAGIC,
		free:   stat.Bavail * uint64(stat.Bsize), files: math.MaxUint64,
	}
	if stat.Files > 0 {
		d.files = stat.Ffree
	}
	if unlimited := stat.Blocks == 0; unlimited && d.memory { // mounted with size=0, and a ramfs
		d.free = math.MaxUint64
	}
	return d, true, nil
}
