package process

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ExecutesFiles says that [Start] executes the open file of a command, whatever lies at its path by then.
const ExecutesFiles = true

// attributes has the process begin in a session of its own, and in its control group.
func (c *Command) attributes() *syscall.SysProcAttr {
	if c.Group == nil {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: c.Group.dir}
}

// execFDGap is how far the descriptor of what is executed lies above those that the child gets. Between its fork and its
// exec, syscall.ForkExec uses the first ones above them for itself.
const execFDGap = 64

// executable returns a path at which the kernel finds the open file of the command, in the child as well as here, and a
// function to call when the child has executed it. Given are the descriptors that the child gets.
//
// /proc/self/fd/N would be such a path. But the kernel names a process by the last part of the path that it executes
// (proc(5), comm): everybody who looks at the machine would see "7". So it is reached through a symbolic link with the
// program's own name, <run-dir>/exec/N/<name>, which stays there and means the same for whoever has the descriptor N next.
func (d *RunDir) executable(cmd Command, given []uintptr) (path string, done func(), err error) {
	if cmd.File == nil {
		return cmd.Path, func() {}, nil
	}
	fd, err := unix.FcntlInt(cmd.File.Fd(), unix.F_DUPFD_CLOEXEC, int(slices.Max(given))+execFDGap)
	if errors.Is(err, unix.EINVAL) { // beyond the limit
		err = unix.EMFILE
	}
	if err != nil {
		return "", nil, err
	}
	done = func() { closeFD(fd) }
	path, err = d.execLink(strconv.Itoa(fd), filepath.Base(cmd.Path))
	if err != nil {
		done()
		return "", nil, err
	}
	return path, done, nil
}

func (d *RunDir) execLink(fd, name string) (string, error) {
	root := d.path + "/exec"
	dir := root + "/" + fd
	path := dir + "/" + name
	err := unix.Symlink("/proc/self/fd/"+fd, path)
	if errors.Is(err, unix.ENOENT) {
		for _, parent := range []string{root, dir} {
			if err := unix.Mkdir(parent, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
				return "", &fs.PathError{Op: "mkdir", Path: parent, Err: err}
			}
		}
		err = unix.Symlink("/proc/self/fd/"+fd, path)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return "", &fs.PathError{Op: "symlink", Path: path, Err: err}
	}
	return path, nil
}
