package devtree

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// NotFoundError is the error of [Find] when the workspace has no sound program of that name. errors.Is finds
// [ErrNoWorkspace] in it when there was no workspace to look in, and errors.As the [*binary.Error] of an unsound program.
type NotFoundError struct {
	Name    string
	Root    string   // The workspace; empty when there is none.
	Tried   []string // The paths that were looked at.
	Unsound []error  // One for each program that is there but cannot be started; empty when nothing is built.
}

// Error says on one line what is wrong and how to come by the program.
func (e *NotFoundError) Error() string {
	switch {
	case e.Root == "":
		return fmt.Sprintf("no development build of %q: %v", e.Name, ErrNoWorkspace)
	case len(e.Unsound) > 0:
		reasons := strings.ReplaceAll(errors.Join(e.Unsound...).Error(), "\n", "; ")
		return fmt.Sprintf("the development build of %q cannot be started: %s", e.Name, reasons)
	case len(e.Tried) == 0:
		return fmt.Sprintf("no development build of %q: that is not the name of a program", e.Name)
	}
	return fmt.Sprintf("no development build of %q: tried %s; run cargo build there", e.Name, strings.Join(e.Tried, ", "))
}

// Unwrap returns the errors of unsound programs, or that there is no workspace.
func (e *NotFoundError) Unwrap() []error {
	if e.Root == "" {
		return []error{ErrNoWorkspace}
	}
	return e.Unsound
}

// BuildError is the error of a program that could not be built.
type BuildError struct {
	Name    string        // The program.
	Command []string      // The build command; empty if it did not come to that.
	Code    *int          // What the command exited with; nil if it did not exit by itself.
	Signal  string        // The signal that ended it; empty if none did.
	Lines   []string      // The compiler's own errors or, if it names none, the last lines of the output.
	LogPath string        // The file that holds all of the output; empty if there is none.
	Limit   time.Duration // How long the build was allowed to take, if it took longer; else 0.
	Err     error         // What else was wrong; nil if the command failed.

	first string
	more  int
}

// Error says in one line what is wrong.
func (e *BuildError) Error() string {
	text := e.Name + " was not built: "
	switch {
	case e.Limit > 0:
		return text + fmt.Sprintf("%s did not end within %s; its output is in %s; raise --build-timeout if it needs longer", e.program(), e.Limit, e.LogPath)
	case e.Err != nil:
		return text + oneLine(e.Err)
	case e.Signal != "":
		text += fmt.Sprintf("%s was ended by %s", e.program(), e.Signal)
	case e.Code != nil:
		text += fmt.Sprintf("%s failed with exit code %d", e.program(), *e.Code)
	}
	if e.first != "" {
		text += ": " + e.first
	}
	if e.more > 0 {
		text += fmt.Sprintf("; %d more errors are in %s", e.more, e.LogPath)
	}
	return text
}

// Unwrap returns what else was wrong.
func (e *BuildError) Unwrap() error { return e.Err }

// program is the build command in two words, "cargo build".
func (e *BuildError) program() string {
	if len(e.Command) > 1 && !strings.HasPrefix(e.Command[1], "-") {
		return e.Command[0] + " " + e.Command[1]
	}
	return strings.Join(e.Command[:min(1, len(e.Command))], " ")
}
