//go:build !linux

package doctor

// systemProbes returns nothing: what a hive needs besides, it needs on Linux.
func systemProbes() []probe { return nil }
