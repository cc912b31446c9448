// Package proctest runs a program beside a test and reads what it says.
package proctest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long a test waits for what must come.
const Patience = time.Minute

// Proc is a program that runs for a while, and what it has said on both streams.
type Proc struct {
	t   *testing.T
	cmd *exec.Cmd

	mu      sync.Mutex
	said    bytes.Buffer
	changed chan struct{} // closed and replaced whenever more is said
	ended   chan struct{}
}

// Start starts a program with env added to its environment. It is killed when the test ends if it still runs.
func Start(t *testing.T, env []string, name string, args ...string) *Proc {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	return StartCommand(t, cmd)
}

// StartCommand starts cmd as it is and takes what it says. It is killed when the test ends if it still runs.
func StartCommand(t *testing.T, cmd *exec.Cmd) *Proc {
	t.Helper()
	p := &Proc{t: t, cmd: cmd, changed: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(p.Kill)
	return p
}

// PID returns the program's process id.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Said returns what the program has said so far.
func (p *Proc) Said() string {
	said, _ := p.output()
	return said
}

// Write takes what the program says.
func (p *Proc) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said.Write(text)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(text), nil
}

func (p *Proc) output() (string, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String(), p.changed
}

// Await returns the first match of a pattern and its groups, once the program has said it.
func (p *Proc) Await(pattern string) []string {
	p.t.Helper()
	re, late := regexp.MustCompile("(?m)"+pattern), time.After(Patience)
	for {
		said, changed := p.output()
		if found := re.FindStringSubmatch(said); found != nil {
			return found
		}
		select {
		case <-changed:
		case <-p.ended:
			if said, _ := p.output(); !re.MatchString(said) {
				p.t.Fatalf("it ended without saying %q:\n%s", pattern, said)
			}
		case <-late:
			p.t.Fatalf("it does not say %q:\n%s", pattern, said)
		}
	}
}

// Signal sends a signal to the program.
func (p *Proc) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(p.t, err)
	}
}

// Kill ends the program as a crash does, and returns when it has gone.
func (p *Proc) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Exit returns the program's exit code and all that it said, once it has ended.
func (p *Proc) Exit() (code int, said string) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		said, _ := p.output()
		p.t.Fatalf("it does not end:\n%s", said)
	}
	said, _ = p.output()
	return p.cmd.ProcessState.ExitCode(), said
}
