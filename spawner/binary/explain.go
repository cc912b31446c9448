package binary

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Explain returns an [*Error] that says why the start of path in the directory dir (empty: the current one) failed with
// err, and what to do next; err stays in its chain. It looks at the file and the directory as they are now: call it only
// after a failure, and at once. A nil err returns nil.
func Explain(path, dir string, err error) error {
	if err == nil {
		return nil
	}
	e := explainLimit(err)
	if e == nil {
		e = explainDirectory(dir)
	}
	if e == nil {
		e = explainFile(path, dir)
	}
	if e == nil {
		e = &Error{Reason: explainRest(err)}
	}
	e.Path, e.Err = path, err
	return e
}

// Retryable reports whether the same start may succeed a moment later: the file was being written (ETXTBSY), or the
// machine had no room for a process (EAGAIN, ENOMEM) or a descriptor (EMFILE, ENFILE).
func Retryable(err error) bool {
	return explainLimit(err) != nil && !errors.Is(err, syscall.E2BIG)
}

// explainLimit explains the errors that say enough by themselves.
func explainLimit(err error) *Error {
	switch {
	case errors.Is(err, syscall.ETXTBSY):
		return &Error{Cause: Busy, Reason: "is being written by another process: try again when that has ended"}
	case errors.Is(err, syscall.EAGAIN):
		return &Error{Cause: Exhausted, Reason: "no further process is allowed: raise the limit (TasksMax, ulimit -u)"}
	case errors.Is(err, syscall.ENOMEM):
		return &Error{Cause: Exhausted, Reason: "the machine has too little free memory to start it: stop workers or add memory"}
	case errors.Is(err, syscall.EMFILE):
		return &Error{Cause: Exhausted, Reason: "this process has too many open files: raise its limit (LimitNOFILE, ulimit -n)"}
	case errors.Is(err, syscall.ENFILE):
		return &Error{Cause: Exhausted, Reason: "the machine has too many open files: raise its limit (fs.file-max)"}
	case errors.Is(err, syscall.E2BIG):
		return &Error{Cause: Arguments, Reason: "its arguments and environment are too long: shorten them"}
	}
	return nil
}

// explainDirectory tells whether dir can be started in.
func explainDirectory(dir string) *Error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	var wrong string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		wrong = "does not exist: create it"
	case errors.Is(err, fs.ErrPermission):
		wrong = fmt.Sprintf("cannot be reached: this user may not search %s", show(firstBadParent(dir)))
	case err != nil:
		wrong = fmt.Sprintf("cannot be entered: %v", root(err))
	case !info.IsDir():
		wrong = "is not a directory"
	case access(dir) != nil:
		wrong = "may not be entered by this user: give it search permission (chmod)"
	default:
		return nil
	}
	return &Error{Cause: WorkingDirectory, Reason: fmt.Sprintf("the working directory %s %s", show(dir), wrong)}
}

// explainFile tells what is wrong with the file or, when nothing is, with the interpreter of a script.
func explainFile(path, dir string) *Error {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if e := inspect(path, dir, 0); e != nil {
		return e
	}
	interpreter := scriptInterpreter(path, dir)
	if interpreter == "" {
		return nil
	}
	if e := inspect(interpreter, dir, 0); e != nil {
		return &Error{Cause: Interpreter, Reason: fmt.Sprintf("its interpreter %s %s", show(interpreter), e.Reason)}
	}
	return nil
}

// explainRest explains an error although everything looks sound.
func explainRest(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "something that it needs was missing and is there now: start it again"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Sprintf("the system forbids it although its mode allows it (%v): "+
			"look at SELinux, AppArmor, seccomp or the user it is started as", root(err))
	case errors.Is(err, syscall.ELOOP):
		return "its interpreter is a script, whose interpreter is a script, and so on: name a program in the #! line"
	case errors.Is(err, syscall.ENOEXEC):
		return "the kernel knows no way to start it: install the build for this machine"
	}
	return fmt.Sprintf("could not be started: %v", root(err))
}

// scriptInterpreter returns the interpreter of a script that was inspected, or "" for a program.
func scriptInterpreter(path, dir string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	header := make([]byte, headerSize)
	n, _ := file.ReadAt(header, 0)
	if n < 2 || string(header[:2]) != "#!" {
		return ""
	}
	interpreter, _ := interpreterOf(header[:n])
	if !filepath.IsAbs(interpreter) {
		interpreter = filepath.Join(dir, interpreter)
	}
	return interpreter
}
