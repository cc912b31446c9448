//go:build unix && !linux

package main

import "syscall"

func resetAction(syscall.Signal) {}
