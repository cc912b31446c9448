//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// contract does what the design asks of a hive in system calls and in bytes on the wire, and nothing else: it decodes,
// checks, decides and remembers nothing, and everything that it writes was made before. Whatever keeps the design cannot be
// faster on the machine at hand, so it tells what a hive's own code costs from what the design costs.
type contract struct {
	nc   *nats.Conn
	dir  string
	next atomic.Int64
	*starter
}

// Sizes of what a hive writes for one job of the benchmark, in bytes.
const (
	eventBytes  = 450
	events      = 7
	recordBytes = 900
	answerBytes = 560
)

func newContract(nc *nats.Conn, dir string) (*contract, error) {
	c := &contract{nc: nc, dir: dir, starter: &starter{}}
	for _, name := range []string{"workers", "ports", "log"} {
		if err := unix.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
	}
	_, err := nc.Subscribe("bench.contract", func(m *nats.Msg) { go c.serve(m) })
	return c, err
}

func (c *contract) serve(m *nats.Msg) {
	if err := c.spawn(string(m.Data)); err != nil {
		refuse(m, err)
		return
	}
	event, answer := make([]byte, eventBytes), make([]byte, answerBytes)
	for range events {
		_ = c.nc.Publish("rbee.v1.narration.bench.job-00000000-0000-0000-0000-000000000000.worker_spawned", event)
	}
	_ = c.nc.Publish("rbee.v1.result.bench.job-00000000-0000-0000-0000-000000000000", answer)
	_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Rbee-Job-Id": {"job-00000000-0000-0000-0000-000000000000"}}, Data: answer})
}

// spawn makes the worker's directory, takes its lock and its port, looks at the catalog and the binary, writes the record, opens
// the log, starts the process in a session of its own, and completes and publishes the record.
func (c *contract) spawn(binary string) (err error) {
	n := c.next.Add(1)
	worker := c.dir + "/workers/worker-00000000-0000-0000-0000-" + strconv.FormatInt(n, 10)
	number := int(10001 + n%20000)
	calls := caller{}
	calls.do(unix.Mkdir(worker, 0o700))
	lock := calls.open(worker+"/lock", unix.O_RDONLY|unix.O_CREAT)
	calls.do(unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB))
	var stat unix.Stat_t
	calls.do(unix.Fstat(lock, &stat))
	port := calls.open(c.dir+"/ports/"+strconv.Itoa(number), unix.O_RDONLY|unix.O_CREAT)
	calls.do(unix.Flock(port, unix.LOCK_EX|unix.LOCK_NB))
	calls.bind(number)
	for _, path := range []string{filepath.Dir(filepath.Dir(binary)), filepath.Dir(binary), binary} {
		calls.do(unix.Lstat(path, &stat))
	}
	record := make([]byte, recordBytes)
	writer := calls.open(worker+"/lock", unix.O_WRONLY)
	calls.write(writer, record)
	log := calls.open(worker+".log", unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND)
	calls.do(unix.Fstat(log, &stat))
	null := calls.open("/dev/null", unix.O_RDONLY)
	if calls.err == nil {
		var pid int
		pid, err = syscall.ForkExec(binary, []string{
			binary, "--worker-id", "worker-00000000-0000-0000-0000-000000000000", "--model", "tiny", "--device", "cpu",
			"--port", strconv.Itoa(number), "--queen-url", "http://localhost:8500",
		}, &syscall.ProcAttr{
			Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "HOME=/root", "RBEE_WORKER_ID=worker", "RBEE_JOB_ID=job"},
			Files: []uintptr{uintptr(null), uintptr(log), uintptr(log), uintptr(lock), uintptr(port)},
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		calls.do(err)
		c.remember(pid)
	}
	calls.write(writer, record)
	for _, fd := range []int{null, log, writer, lock, port} {
		_ = unix.Close(fd)
	}
	calls.do(unix.Link(worker+"/lock", worker+"/worker.json"))
	return calls.err
}

// caller makes system calls until one fails.
type caller struct{ err error }

func (c *caller) do(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *caller) open(path string, flags int) int {
	if c.err != nil {
		return -1
	}
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	c.do(err)
	return fd
}

func (c *caller) write(fd int, data []byte) {
	_, err := unix.Pwrite(fd, data, 0)
	c.do(err)
}

func (c *caller) bind(port int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	c.do(err)
	c.do(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	c.do(unix.Bind(fd, &unix.SockaddrInet4{Port: port}))
	_ = unix.Close(fd)
}
