//go:build linux

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// hireKeeper starts a process that ends all workers below a directory as soon as this process is no more, however it ended: they are in
// sessions of their own, so that nothing else would. The function that it returns has it do that now, and waits.
func hireKeeper(self, dir string) (dismiss func(), err error) {
	cmd := exec.Command(self, "keeper", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends this process from the terminal does not end it
	line, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = line.Close()
		_ = cmd.Wait()
	}, nil
}

// keep is the keeper's process.
func keep(dir string) {
	_, _ = io.Copy(io.Discard, os.Stdin) // it ends with whoever has the other end
	// What a hive forked right before it died becomes a worker in a moment.
	for quiet := 0; quiet < 10; quiet++ {
		for _, pid := range living(dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			quiet = 0
		}
		_ = wait(context.Background(), 10*time.Millisecond)
	}
}
