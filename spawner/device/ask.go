package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// mostSaid bounds what is read of a program: a row of nvidia-smi has about 100 bytes.
	mostSaid = 1 << 20
	// deathGrace is how long a program that was killed may take to be gone, and what one has said that ended may take to be read. One
	// that a driver keeps in the kernel takes for ever.
	deathGrace = time.Second
)

// errStuck says that a program can be neither waited for nor killed.
var errStuck = errors.New("hangs in the driver and cannot be killed")

// asked is a program that is asked something. It has ended when done is closed.
type asked struct {
	pid  int
	done chan struct{}
	err  error // how it ended; read it once done is closed
}

// ask runs a program in a process group of its own and returns what it says on stdout, also beside an error. When ctx ends,
// or when it says too much, its group is killed. If even that does not end it, ask leaves it behind, with errStuck.
//
// The program gets the few variables that it needs to be found and to speak English, not the hive's: those hold secrets.
func (f *Finder) ask(ctx context.Context, path string, args ...string) (said string, program *asked, err error) {
	cmd := exec.Command(path, args...)
	cmd.Env = environment()
	out, errs := newCapped(mostSaid), newCapped(4<<10)
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.WaitDelay = f.grace // for what it has started and left with its output
	ownGroup(cmd)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	program = &asked{pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		defer close(program.done)
		program.err = cmd.Wait()
	}()
	var cut error
	select {
	case <-program.done:
	case <-ctx.Done():
		cut = fmt.Errorf("had not answered after %s", time.Since(began).Round(10*time.Millisecond))
	case <-out.over:
		cut = fmt.Errorf("says more than %d bytes", mostSaid)
	}
	if cut != nil {
		f.kill(cmd)
		select {
		case <-program.done:
			return out.text(), program, cut
		case <-time.After(f.grace + f.grace): // the second is its WaitDelay
			return out.text(), program, fmt.Errorf("%w (PID %d)", errStuck, program.pid)
		}
	}
	if errors.Is(program.err, exec.ErrWaitDelay) { // it has ended well, and a child of it holds its output
		f.kill(cmd)
		program.err = nil
	}
	return out.text(), program, explain(program.err, errs.text())
}

// explain adds to how a program ended the first line that it has said of it.
func explain(err error, said string) error {
	if err == nil {
		return nil
	}
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" {
			return fmt.Errorf("%w: %s", err, tidy(line, 160))
		}
	}
	return err
}

// environment is what a program gets to know.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "SystemRoot", "TEMP"} {
		if text, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+text)
		}
	}
	return env
}

// capped takes what a program says and keeps the beginning.
type capped struct {
	mu   sync.Mutex
	most int
	kept bytes.Buffer
	once sync.Once
	over chan struct{} // closed when there is more than is kept
}

func newCapped(most int) *capped { return &capped{most: most, over: make(chan struct{})} }

// Write keeps what there is room for, and never fails.
func (c *capped) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := min(c.most-c.kept.Len(), len(data))
	c.kept.Write(data[:room])
	if room < len(data) {
		c.once.Do(func() { close(c.over) })
	}
	return len(data), nil
}

func (c *capped) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.String()
}
