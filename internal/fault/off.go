//go:build !chaos || !linux

package fault

// Point does nothing: the program is not built to be struck.
func Point(string) {}
