//go:build !linux

package doctor

// diskOf reports that the disk is not known.
func diskOf(string) (d disk, known bool, err error) { return disk{}, false, nil }
