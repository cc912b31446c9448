package binary

import "io/fs"

// CheckOwner returns nil: a file tells no id of its owner here.
func CheckOwner(string, fs.FileInfo, int) error { return nil }
