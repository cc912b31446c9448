//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/rbee-keeper/hive/internal/tinyworker"
)

// stage holds the parties of one run.
type stage struct {
	server, echo, starter, sketch, contract, client *party
	hive                                            *exec.Cmd
	serve                                           []string // the hive's command line
	tiny                                            string   // the worker of the floor
	catalog, binary                                 string   // the worker's, of the hive
}

// party is a role of this program in a process of its own, that answers one line of JSON for each line it gets.
type party struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func setUp(ctx context.Context, hive, dir string) (*stage, error) {
	st := &stage{catalog: filepath.Join(dir, "catalog"), tiny: filepath.Join(dir, "tiny")}
	st.binary = st.path("0.1.0")
	worker, err := tinyworker.Binary()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(writeWorker(st.tiny, worker, 0), st.install("0.1.0", worker, 0)); err != nil {
		return nil, err
	}
	if st.server, err = enlist(ctx, "server"); err != nil {
		return nil, err
	}
	var url string
	if err := st.server.ask("url", &url); err != nil {
		return nil, err
	}
	for role, p := range map[string]**party{
		"echo": &st.echo, "starter": &st.starter, "sketch": &st.sketch, "contract": &st.contract, "client": &st.client,
	} {
		if *p, err = enlist(ctx, role, url, dir); err != nil {
			st.tearDown()
			return nil, err
		}
		var ready bool
		if err := (*p).ask("ready", &ready); err != nil {
			st.tearDown()
			return nil, err
		}
	}
	st.serve = []string{
		hive, "serve", "--hive-id", "bench", "--server", url, "--watch", "0",
		"--run-dir", filepath.Join(dir, "run"), "--log-dir", filepath.Join(dir, "log"), "--catalog-dir", st.catalog,
		"--port-range", "10001-32000", "--max-waiting", "1000", "--log-level", "error",
	}
	if err := st.startHive(ctx); err != nil {
		st.tearDown()
		return nil, err
	}
	return st, nil
}

// install puts a worker into the catalog that is as many bytes long as the code and the padding.
func (st *stage) install(version string, code []byte, padding int) error {
	return writeWorker(st.path(version), code, padding)
}

// path returns where the catalog has that version of the worker.
func (st *stage) path(version string) string {
	const name = "cpu-llm-worker-rbee"
	return filepath.Join(st.catalog, fmt.Sprintf("%s-v%s-%s", name, version, runtime.GOOS), name)
}

// writeWorker writes an executable of the code and as many bytes of padding.
func writeWorker(path string, code []byte, padding int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	data := append(code[:len(code):len(code)], make([]byte, padding)...)
	for i := len(code); i < len(data); i++ {
		data[i] = byte(i * 31) // not zeros, so that the file is really as long
	}
	return os.WriteFile(path, data, 0o755)
}

// startHive starts the hive and waits until it is ready.
func (st *stage) startHive(ctx context.Context) error {
	st.hive = exec.CommandContext(ctx, st.serve[0], st.serve[1:]...)
	st.hive.Cancel = func() error { return st.hive.Process.Signal(syscall.SIGTERM) }
	st.hive.Stderr = os.Stderr
	out, err := st.hive.StdoutPipe()
	if err != nil {
		return err
	}
	if err := st.hive.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "ready") {
		return fmt.Errorf("the hive did not become ready: %q %w", line, err)
	}
	return nil
}

func (st *stage) tearDown() {
	if st.hive != nil && st.hive.Process != nil {
		_ = st.hive.Process.Signal(syscall.SIGTERM)
		_ = st.hive.Wait()
	}
	for _, p := range []*party{st.client, st.contract, st.sketch, st.starter, st.echo, st.server} {
		if p != nil {
			_ = p.in.Close() // a role ends with its input
			_ = p.cmd.Wait()
		}
	}
}

func enlist(ctx context.Context, role string, args ...string) (*party, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &party{cmd: exec.CommandContext(ctx, self, append([]string{"role", role}, args...)...)}
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReaderSize(out, 1<<20)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return p, nil
}

// ask sends a line to the party and reads its answer into v.
func (p *party) ask(line string, v any) error {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return fmt.Errorf("ask %s: %w", line, err)
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("answer to %s: %w", line, err)
	}
	var got struct {
		Err   string
		Value json.RawMessage
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("answer to %s: %w", line, err)
	}
	if got.Err != "" {
		return fmt.Errorf("%s: %s", line, got.Err)
	}
	return json.Unmarshal(got.Value, v)
}
