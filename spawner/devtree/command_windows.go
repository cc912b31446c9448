package devtree

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

// endGroup ends the command; what it started ends when it notices.
func endGroup(p *os.Process, _ bool) { _ = p.Kill() }

func signalOf(*os.ProcessState) string { return "" }

// tryLock leaves it to Cargo's own lock that hives do not build at once.
func tryLock(*os.File) (bool, error) { return true, nil }
