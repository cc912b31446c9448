//go:build unix && !linux

package process

import "syscall"

// ExecutesFiles says that [Start] executes what lies at the path of a command: this system has no way to execute an open
// file.
const ExecutesFiles = false

func (d *RunDir) executable(cmd Command, _ []uintptr) (path string, done func(), err error) {
	return cmd.Path, func() {}, nil
}

func (c *Command) attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
