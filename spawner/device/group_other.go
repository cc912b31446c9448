//go:build !unix

package device

import "os/exec"

func ownGroup(*exec.Cmd) {}

// killGroup kills the program; what it has started goes on.
func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
