package devtree

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// endGrace is how long a build that is cancelled may take to end by itself.
	endGrace = 2 * time.Second
	// tailGrace is how long the output is read on after the command has ended: a process that it left behind may hold it open.
	tailGrace = time.Second
	// mostLog bounds the log of one build, and longestLine a line of it.
	mostLog     = 64 << 20
	longestLine = 4 << 10
)

// run runs the build command to its end, with its output line by line to the log and to tell. When ctx ends it ends the command
// and all that this started, and returns ctx's cause. The error of a command that failed is an [*exec.ExitError].
func run(ctx context.Context, cmd *exec.Cmd, log io.Writer, tell func(line string)) error {
	ownGroup(cmd)
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		readLines(r, func(line string) {
			fmt.Fprintln(log, line)
			tell(line)
		})
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = cmd.Wait()
	}()

	cancelled := await(ctx, cmd, ended)
	select {
	case <-read:
	case <-time.After(tailGrace):
		_ = r.Close()
		<-read
	}
	if cancelled {
		return context.Cause(ctx)
	}
	return err
}

// await returns when the command has ended, and reports whether it had to be ended, with what it started, because ctx did.
func await(ctx context.Context, cmd *exec.Cmd, ended <-chan struct{}) (cancelled bool) {
	select {
	case <-ended:
		return false
	case <-ctx.Done():
	}
	endGroup(cmd.Process, false)
	select {
	case <-ended:
		endGroup(cmd.Process, true)
	case <-time.After(endGrace):
		endGroup(cmd.Process, true)
		<-ended
	}
	return true
}

// readLines calls each with every line of r. A line ends at a line feed or, as progress bars do, at a carriage return; what is
// longer than a line should be comes in parts.
func readLines(r io.Reader, each func(string)) {
	var line []byte
	flush := func() {
		each(strings.ToValidUTF8(string(line), "\uFFFD"))
		line = line[:0]
	}
	returned := false
	for in := bufio.NewReader(r); ; {
		b, err := in.ReadByte()
		if (returned && b != '\n' || err != nil) && len(line) > 0 {
			flush()
		}
		if err != nil {
			return
		}
		returned = b == '\r'
		switch {
		case b == '\n':
			flush()
		case !returned:
			if line = append(line, b); len(line) == longestLine {
				flush()
			}
		}
	}
}

// boundedLog is the log of a build. What is behind its bound is dropped, which it says.
type boundedLog struct {
	file *os.File
	left int
}

// Write writes what still fits, and never fails: a build does not fail because nobody can read about it.
func (l *boundedLog) Write(p []byte) (int, error) {
	if l.left < 0 {
		return len(p), nil
	}
	if l.left -= len(p); l.left < 0 {
		_, _ = fmt.Fprintf(l.file, "the log of a build ends after %d MiB\n", mostLog>>20)
		return len(p), nil
	}
	_, _ = l.file.Write(p)
	return len(p), nil
}

// exitOf returns the code that a command ended with, and the signal that ended it; nil and "" if it did not run.
func exitOf(err error) (code *int, signal string) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return nil, ""
	}
	if signal = signalOf(exit.ProcessState); signal != "" {
		return nil, signal
	}
	n := exit.ExitCode()
	return &n, ""
}
