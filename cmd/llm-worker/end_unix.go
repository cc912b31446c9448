//go:build unix

package main

import (
	"os/signal"
	"syscall"
	"time"
)

// dieOf ends this process by the signal, so that whoever waits for it sees what ended the backend. It returns if that
// fails. No core is written: this process's says nothing about the backend.
func dieOf(sig syscall.Signal) {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	signal.Reset(sig)
	resetAction(sig)
	if syscall.Kill(syscall.Getpid(), sig) == nil {
		<-time.After(time.Second) // it comes to any thread, soon
	}
}
