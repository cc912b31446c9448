package catalog

import "time"

// SetClock makes c believe that it is another time.
func (c *Catalog) SetClock(now func() time.Time) { c.now = now }

// Keeps reports whether c will not read the directory again before it changes.
func (c *Catalog) Keeps() bool { return c.last.Load() != nil }
