package catalog

import "time"

// SetClock makes c believe that it is another time.
func (c *Catalog) SetClock(now func() time.Time) { c.now = now }

// SetUser makes c believe that it is run by another user.
func (c *Catalog) SetUser(id int) { c.user = id }

// CheckParents examines the directories above a program that was installed elsewhere.
func (c *Catalog) CheckParents(path string) error { return c.checkParents(path) }

// Keeps reports whether c will not read the directory again before it changes.
func (c *Catalog) Keeps() bool { return c.last.Load() != nil }

// Sums returns how many checksums c remembers.
func (c *Catalog) Sums() int {
	c.sums.mu.Lock()
	defer c.sums.mu.Unlock()
	return len(c.sums.known)
}
