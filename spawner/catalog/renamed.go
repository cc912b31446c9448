package catalog

import (
	"errors"
	"os"
	"strings"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// named returns err with the path that the user gave where it names the copy, which is gone when it is read.
func named(err error, temporary, from string) error {
	if e, ok := errors.AsType[*binary.Error](err); ok {
		e.Path = renamed(e.Path, temporary, from)
	}
	if text := err.Error(); strings.Contains(text, temporary) {
		return &renamedError{text: strings.ReplaceAll(text, temporary, from), err: err}
	}
	return err
}

func renamed(path, temporary, from string) string {
	info, err := os.Stat(from)
	if inside, cut := strings.CutPrefix(path, temporary); cut && err == nil {
		if info.IsDir() {
			return from + inside
		}
		return from
	}
	return path
}

// renamedError is an error in other words.
type renamedError struct {
	text string
	err  error
}

func (e *renamedError) Error() string { return e.text }
func (e *renamedError) Unwrap() error { return e.err }
