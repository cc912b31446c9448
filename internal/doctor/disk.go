package doctor

// disk is the file system of a directory.
type disk struct {
	memory bool   // a tmpfs: quick, and gone with the machine
	free   uint64 // bytes that this user may still write
	files  uint64 // files that can still be made; the largest number where the file system does not count them
}
