package main

import (
	"syscall"
	"unsafe"
)

// resetAction has the kernel do with the signal what it does by default. The runtime takes some, such as SIGSEGV and SIGABRT, for
// errors of this program's own otherwise, and prints every goroutine. A sigaction of zeros is SIG_DFL (rt_sigaction(2)); its
// size does not matter, as long as there are enough of them.
func resetAction(sig syscall.Signal) {
	var byDefault [128]byte
	const signals = 8 // bytes of a signal set
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&byDefault)), 0, signals, 0, 0)
}
