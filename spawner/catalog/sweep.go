package catalog

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How old what a crashed installation left must be before it is taken for that: where it holds no lock, it has crashed, unless
// it was made this very moment. Where nothing can be locked, only time tells.
const (
	abandoned         = time.Minute
	abandonedUnlocked = 24 * time.Hour
)

// sweep removes what installations and removals left that crashed.
func (c *Catalog) sweep() {
	old := abandonedUnlocked
	if locks {
		old = abandoned
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), installing) && !strings.HasPrefix(entry.Name(), removing) {
			continue
		}
		if info, err := entry.Info(); err != nil || c.now().Sub(info.ModTime()) <= old {
			continue
		}
		path := filepath.Join(c.dir, entry.Name())
		if unlock, err := tryLock(path); err == nil {
			_ = os.RemoveAll(path) // tried again by the next
			unlock()
		}
	}
}
