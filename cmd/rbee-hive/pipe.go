package main

import (
	"os"
	"os/signal"
	"syscall"
)

// survivePipes keeps a hive alive whose log or stdout nobody reads any more: a broken pipe would end it, without a word and
// whatever it is doing (os/signal, SIGPIPE). Caught, it is an error of the write. Workers get the signal's default back when
// they start, which they would not if it were ignored.
func survivePipes() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}
