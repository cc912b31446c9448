package binary

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"unicode"
)

// Cause is what is wrong with a file. It is itself an error, so that errors.Is(err, binary.Missing) asks for one cause,
// and errors.As finds the cause in an error that wraps an [*Error]. The zero value is no known cause.
type Cause string

// The causes of [Check], and of [Explain] when the file is at fault.
const (
	Missing           Cause = "missing"            // No file has this name; errors.Is(err, fs.ErrNotExist) holds, too.
	Directory         Cause = "directory"          // It is a directory.
	NotRegular        Cause = "not_regular"        // It is a device, a socket or a pipe.
	Loop              Cause = "loop"               // Its symbolic links form a circle.
	Unreachable       Cause = "unreachable"        // A directory above it may not be searched.
	NotExecutable     Cause = "not_executable"     // This user may not execute it.
	Unreadable        Cause = "unreadable"         // This user may not read it, or reading failed.
	Writable          Cause = "writable"           // Others than its owner may write it.
	Foreign           Cause = "foreign"            // It belongs to neither this user nor root.
	SetID             Cause = "set_id"             // It runs as another user or group than the one who starts it.
	Empty             Cause = "empty"              // It has no content.
	UnknownFormat     Cause = "unknown_format"     // It is neither a program nor a script with a #! line.
	WrongArchitecture Cause = "wrong_architecture" // It is a program for another processor or operating system.
	Damaged           Cause = "damaged"            // It is a program that was cut short or is malformed.
	Interpreter       Cause = "interpreter"        // The interpreter of its #! line is missing or cannot be started.
	Loader            Cause = "loader"             // The loader that its ELF header names is missing or cannot be started.
)

// The causes that only [Explain] finds.
const (
	WorkingDirectory Cause = "working_directory" // The directory to start it in is missing or cannot be entered.
	Arguments        Cause = "arguments"         // Its arguments and environment are too long.
	Busy             Cause = "busy"              // It is being written at this moment.
	Exhausted        Cause = "exhausted"         // The machine or this user's limits leave no room for a process.
)

// Error returns the cause's one word.
func (c Cause) Error() string { return string(c) }

// Error says why a file cannot be started, or was not.
type Error struct {
	Path   string // The file, as it was given.
	Reason string // One line, to be read behind the path: what is wrong, and what to do next.
	Cause  Cause  // Empty when the cause is not known.
	Err    error  // The error of the system call; nil when none failed.
}

// Error returns the path and the reason on one line.
func (e *Error) Error() string { return show(e.Path) + ": " + e.Reason }

// Is reports that a file that is missing in any way is an [fs.ErrNotExist].
func (e *Error) Is(target error) bool { return target == fs.ErrNotExist && e.Cause == Missing }

// Unwrap returns the cause and the error of the system call.
func (e *Error) Unwrap() []error {
	var all []error
	if e.Cause != "" {
		all = append(all, e.Cause)
	}
	if e.Err != nil {
		all = append(all, e.Err)
	}
	return all
}

// root returns the errno of a system call without the names that its error repeats.
func root(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// show returns a name as it is, or quoted when it would not stay on its line.
func show(name string) string {
	if name == "" || strings.ContainsFunc(name, unicode.IsControl) {
		return strconv.Quote(name)
	}
	return name
}
