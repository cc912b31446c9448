package logs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// firstData returns the offset of the first byte of the file that is not in a hole, size if there is none, and 0 where
// the file system does not tell.
func firstData(file *os.File, size int64) (int64, error) {
	offset, err := file.Seek(0, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, errors.ErrUnsupported):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return offset, nil
}

// punch frees a part of the file, which reads as zeros from then on.
func punch(file *os.File, offset, length int64) error {
	for {
		err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
