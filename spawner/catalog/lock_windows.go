package catalog

// locks says that a directory cannot be locked here.
const locks = false

// lockDir locks nothing.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

// tryLock locks nothing.
func tryLock(string) (unlock func(), err error) { return func() {}, nil }
