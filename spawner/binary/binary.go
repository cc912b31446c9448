// Package binary tells whether a file can be started on this machine, and why a start failed.
//
// [Check] is asked before a start and costs a few system calls whatever the size of the file: it reads only the first
// kilobyte. [Explain] is asked after a failed start: the kernel answers with one number for many causes, and the file, its
// interpreter and the working directory tell which of them it was.
package binary

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// headerSize is how much of a file is read. It holds the program headers and the loader's name of most ELF programs, and
// the longest first line that a kernel reads of a script.
const headerSize = 1024

// Check returns nil when the file at path can be started on this machine by this process: a regular file (symbolic links
// are followed) that this user may read and execute, that nobody but its owner may write (asked on Unix only), that runs as this user, and that is
// a complete program for this operating system and processor, or a script with a #! line. A program's loader and a
// script's interpreter must be there, too.
//
// Otherwise it returns an [*Error]. One for which [Retryable] holds says nothing about the file: this process could not
// look at it now.
func Check(path string) error { return check(path, forOthers) }

// CheckBuilt is [Check] for a file that a compiler made a moment ago: its group may write it, because the umask of many
// systems says so and each build would bring that back.
func CheckBuilt(path string) error { return check(path, forEveryone) }

// Modes that let others than the owner write.
const (
	forOthers   fs.FileMode = 0o022
	forEveryone fs.FileMode = 0o002
)

func check(path string, forbidden fs.FileMode) error {
	if e := inspect(path, "", forbidden); e != nil {
		return e
	}
	return nil
}

// Open is [Check] for a file that is to be started: it returns the file that was checked, open for reading, and what the
// descriptor said of it. Whoever starts what the descriptor names starts what was checked, whatever has been put in its
// place since. The caller closes the file.
func Open(path string) (*Program, error) {
	file, p, e := open(path, "", forOthers)
	if e != nil {
		return nil, e
	}
	return &Program{File: file, Info: p.info, Script: bytes.HasPrefix(p.header, []byte("#!"))}, nil
}

// Program is a file that was found fit to be started.
type Program struct {
	// File is the file, open for reading.
	File *os.File
	// Info is what the descriptor said of the file when it was checked.
	Info fs.FileInfo
	// Script says that it is started by the interpreter that its first line names, which reads it by its path.
	Script bool
}

// CheckPrivate returns nil when nobody but the owner may write the file or directory at path, whose mode is given; else an
// [*Error] with the cause [Writable]. On Windows, whose modes do not tell, it always returns nil.
func CheckPrivate(path string, mode fs.FileMode) error {
	if writable(mode, forOthers) {
		return notPrivate(path, mode)
	}
	return nil
}

// inspect is Check; dir is where a script's relative interpreter is looked for, none when it is empty; a file
// with a forbidden bit in its mode is refused, which the kernel would not do.
func inspect(path, dir string, forbidden fs.FileMode) *Error {
	file, _, e := open(path, dir, forbidden)
	if file != nil {
		_ = file.Close()
	}
	return e
}

// open returns the file at path once it has passed the checks of [inspect], all but the first of which ask the descriptor.
func open(path, dir string, forbidden fs.FileMode) (*os.File, program, *Error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, program{}, unreachable(path, err)
	}
	if e := checkMode(path, info.Mode(), forbidden); e != nil {
		return nil, program{}, e
	}
	file, err := openFile(path) // it is regular, or was a moment ago
	if err != nil {
		return nil, program{}, unreadable(path, err)
	}
	p, e := examine(path, dir, file, forbidden)
	if e != nil {
		_ = file.Close()
		return nil, program{}, e
	}
	return file, p, nil
}

// examine looks at an open file.
func examine(path, dir string, file *os.File, forbidden fs.FileMode) (program, *Error) {
	info, err := file.Stat()
	if err != nil {
		return program{}, unreadable(path, err)
	}
	if e := checkMode(path, info.Mode(), forbidden); e != nil {
		return program{}, e
	}
	header := make([]byte, headerSize)
	n, err := file.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return program{}, unreadable(path, err)
	}
	p := program{path: path, dir: dir, file: file, info: info, header: header[:n], size: info.Size()}
	return p, checkFormat(p)
}

func checkMode(path string, mode, forbidden fs.FileMode) *Error {
	if e := checkType(path, mode); e != nil {
		return e
	}
	if e := checkExecutable(path, mode); e != nil {
		return e
	}
	if writable(mode, forbidden) {
		return notPrivate(path, mode)
	}
	if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return &Error{Path: path, Cause: SetID, Reason: "runs as its owner or group and not as who starts it (set-user-ID or set-group-ID), " +
			"so it could be neither looked at nor ended: run chmod ug-s on it"}
	}
	return nil
}

func checkType(path string, mode fs.FileMode) *Error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return &Error{Path: path, Cause: Directory, Reason: "is a directory: name the program in it"}
	}
	return &Error{Path: path, Cause: NotRegular, Reason: fmt.Sprintf("is not a regular file (%v)", mode.Type())}
}

func notPrivate(path string, mode fs.FileMode) *Error {
	who := "its group"
	if mode.Perm()&0o002 != 0 {
		who = "everyone"
	}
	return &Error{Path: path, Cause: Writable, Reason: fmt.Sprintf(
		"can be written by %s (mode %04o), who could replace what is started: run chmod go-w on it", who, mode.Perm())}
}

// unreadable explains why a file that may be executed could not be read.
func unreadable(path string, err error) *Error {
	e := explainLimit(err)
	switch {
	case e != nil: // Not the file's fault: Retryable says so.
	case errors.Is(err, fs.ErrPermission):
		e = &Error{Cause: Unreadable, Reason: "cannot be read by this user, so it cannot be checked: run chmod 0755 on it"}
	default:
		e = &Error{Cause: Unreadable, Reason: fmt.Sprintf("cannot be read: %v", root(err))}
	}
	e.Path, e.Err = path, err
	return e
}

// unreachable explains why a path could not be followed.
func unreachable(path string, err error) *Error {
	e := &Error{Path: path, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Cause, e.Reason = Missing, "does not exist: install it"
		if target, err := os.Readlink(path); err == nil {
			e.Reason = fmt.Sprintf("is a symbolic link to %s, which does not exist: correct the link", show(target))
		}
	case errors.Is(err, syscall.ENOTDIR):
		e.Cause, e.Reason = Missing, fmt.Sprintf("does not exist: %s is not a directory", show(firstBadParent(path)))
	case errors.Is(err, syscall.ELOOP):
		e.Cause, e.Reason = Loop, "leads through too many symbolic links: they form a circle"
	case errors.Is(err, fs.ErrPermission):
		e.Cause = Unreachable
		e.Reason = fmt.Sprintf("cannot be reached: this user may not search %s; give it search permission (chmod o+x)",
			show(firstBadParent(path)))
	default:
		return unreadable(path, err)
	}
	return e
}

// firstBadParent returns the highest directory of path below which nothing can be reached.
func firstBadParent(path string) string {
	parent := filepath.Dir(path)
	for {
		above := filepath.Dir(parent)
		if above == parent {
			return parent
		}
		if _, err := os.Stat(parent); err == nil {
			return parent
		}
		parent = above
	}
}
