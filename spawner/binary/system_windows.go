package binary

import (
	"io/fs"
	"os"
)

// Windows has no permission to execute that a mode would show, and no way to name a program's loader: its programs are
// checked by type and format alone.

func access(path string) error {
	_, err := os.Stat(path)
	return err
}

func checkExecutable(string, fs.FileMode) *Error { return nil }

func writable(_, _ fs.FileMode) bool { return false }

func unusable(path string) string {
	if err := access(path); err != nil {
		return "does not exist"
	}
	return ""
}

func openFile(path string) (*os.File, error) { return os.Open(path) }
