package process

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// Mark returns a word for a directory that is the same for all who have that directory, and another for any other, be it on
// another machine. It is empty if there is none.
func Mark(dir string) string {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return ""
	}
	machine, _ := os.Hostname()
	sum := sha256.Sum256([]byte(machine + " " + path))
	return fmt.Sprintf("%x", sum[:8])
}
