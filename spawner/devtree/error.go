package devtree

import (
	"errors"
	"fmt"
	"strings"
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
