//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// party is a process of the harness: a server or a hive.
type party struct {
	cmd   *exec.Cmd
	said  string        // the file of what it says
	ended chan struct{} // closed when it has
}

// parties are the pids of those that run: the other children of this process are workers whose hive has ended.
var parties struct {
	sync.Mutex
	pids map[int]bool
}

// enlist starts a process that dies with this one. What it says is in the file said.
func enlist(cmd *exec.Cmd, said string) (*party, error) {
	file, err := os.OpenFile(said, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	// A group of its own, so that Ctrl-C reaches it through the harness alone, which then checks that nothing stays.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	parties.Lock()
	defer parties.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if parties.pids == nil {
		parties.pids = map[int]bool{}
	}
	pid := cmd.Process.Pid
	parties.pids[pid] = true
	p := &party{cmd: cmd, said: said, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
		parties.Lock()
		defer parties.Unlock()
		delete(parties.pids, pid)
	}()
	return p, nil
}

func (p *party) pid() int { return p.cmd.Process.Pid }

// kill ends it as a crash does, and returns when it has gone.
func (p *party) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// runs reports whether it has not ended.
func (p *party) runs() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// struck reports whether it ended by SIGKILL.
func (p *party) struck() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// says reports whether it has said the text.
func (p *party) says(text string) bool {
	data, err := os.ReadFile(p.said)
	return err == nil && bytes.Contains(data, []byte(text))
}

// await waits until there is what is described, which something ends at the latest.
func await(ctx context.Context, what string, limit time.Duration, there func() bool) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !there() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late.C:
			if there() {
				return nil
			}
			return fmt.Errorf("%s: not within %s", what, limit)
		case <-tick.C:
		}
	}
	return nil
}

// state is what /proc says of a process: R, S, T (stopped), Z (ended and not waited for), or 0 if there is none.
func state(pid int) byte {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	end := bytes.LastIndexByte(data, ')')
	if err != nil || end < 0 || end+2 >= len(data) {
		return 0
	}
	return data[end+2]
}

func alive(pid int) bool {
	s := state(pid)
	return s != 0 && s != 'Z' && s != 'X'
}

// living returns the processes that run in a directory or below: the workers of one round.
func living(dir string) []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink("/proc/" + entry.Name() + "/cwd")
		if err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/")) && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// bury kills what runs in a directory and returns when it has gone. hive is the path of the hive's binary.
func bury(dir, hive string) {
	for {
		forks := reapOrphans(hive)
		pids := living(dir)
		if forks == 0 && len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = wait(context.Background(), time.Millisecond)
	}
}

// reapOrphans frees what the kernel keeps of workers that ended after their hive. It returns how many children of dead hives have not
// become a worker yet: nobody can say whose they are.
func reapOrphans(hive string) (forks int) {
	parties.Lock()
	defer parties.Unlock()
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		for field := range strings.FieldsSeq(string(data)) {
			pid, _ := strconv.Atoi(field)
			if parties.pids[pid] {
				continue
			}
			switch state(pid) {
			case 'Z':
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			case 0:
			default:
				if exe, err := os.Readlink("/proc/" + field + "/exe"); err == nil && exe == hive {
					forks++
				}
			}
		}
	}
	return forks
}

// wait returns after d, or with the cause of ctx when that ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errUnexpected = errors.New("something ended that should not have")

// stop has the process stand still.
func stop(p *party) { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
