//go:build linux

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// Every job of the matrix names a queen with a password, which nobody may be told.
const (
	password = "hunter2-hunter2"
	queenURL = "http://keeper:" + password + "@queen.invalid:8500"
	redacted = "http://***@queen.invalid:8500"
)

// cause is one way for a spawn to fail.
type cause struct {
	hive   string // gpu-1
	job    string // what it says behind its ids and its queen
	during func(t *testing.T, w *tap, id string)

	code, status string
	says         []string // parts of the message
	retryable    bool

	// Of a worker that was started.
	ran    bool
	exit   int // -1: it did not exit by itself
	signal string
	tail   []string                        // all of its log's end, unless check says what that is
	check  func(t *testing.T, f *failure)  // nil means nothing more
	after  func(t *testing.T, found found) // what becomes of the worker; nil means that it is gone

	// others says that the id belongs to another worker.
	others bool
}

// Thirty causes and more, each provoked for real. Whatever it is, the caller is told one code, one line that a person
// understands, how the process ended, what it said last, what was started, where its log is, and how long it lived; an
// observer and whoever asks later are told the same; and no one is told a password.
func TestEveryCauseOfAFailedSpawnIsToldTheSameEverywhere(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	s := newScene(t, server.URL())
	causes := s.causes()
	require.GreaterOrEqual(t, len(causes), 30)
	n := 0
	for name, c := range causes {
		n++
		t.Run(name, func(t *testing.T) {
			s.wire.t = t
			s.provoke(t, fmt.Sprintf("cause-%d", n), c)
		})
	}
	s.wire.t = t
	for _, h := range s.hives {
		require.NotContains(t, h.Said(), password)
	}
	require.Zero(t, s.leaks.Load(), "messages with the password")
}

// scene is the hives of the matrix and whoever hears them.
type scene struct {
	wire      *tap
	machines  map[string]*machine
	hives     []*hive
	neighbour answer       // a worker of gpu-1
	stranger  int          // a port that is this process's
	leaks     atomic.Int64 // messages of hives that hold the password
}

func newScene(t *testing.T, url string) *scene {
	t.Helper()
	s := &scene{wire: listen(t, url, "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>"), machines: map[string]*machine{}}
	_, err := natstest.Dial(t, url).Subscribe(">", func(msg *nats.Msg) {
		if !strings.HasPrefix(msg.Subject, "rbee.v1.hive.") && strings.Contains(string(msg.Data)+fmt.Sprint(msg.Header), password) {
			s.leaks.Add(1)
		}
	})
	require.NoError(t, err)

	m := s.open(t, url, "gpu-1", "RBEE_WATCH=1h", withGPUs())
	s.neighbour = spawn(t, s.wire.nc, "gpu-1", `{"job_id":"neighbour","worker_id":"neighbour","model":"m","device":"cpu"}`)
	s.wire.story("gpu-1", "neighbour")
	s.wire.next("rbee.v1.result.gpu-1.neighbour")
	s.open(t, url, "hasty", "RBEE_WATCH=1ms")
	foreign, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { foreign.Close() })
	s.stranger = foreign.Addr().(*net.TCPAddr).Port
	m.spoil(t)
	busy, err := os.OpenFile(m.entry("written-worker", "1.0.0"), os.O_WRONLY, 0) // the kernel does not start what is open for writing
	require.NoError(t, err)
	t.Cleanup(func() { busy.Close() })
	require.NoError(t, os.Mkdir(m.path("logs", "w-log.log-is-a-directory.log"), 0o700))

	full := newMachine(t, url, "full", 40)
	s.add(full, fmt.Sprintf("RBEE_PORT_RANGE=%d", full.first))
	spawn(t, s.wire.nc, "full", jobFor("first", "m"))

	busyHive := s.open(t, url, "busy", "RBEE_MAX_JOBS=1", "RBEE_MAX_WAITING=0")
	busyHive.gate()
	s.wire.send("busy", busyHive.gated("at-work"))

	nowhere := newMachine(t, url, "nowhere", 40)
	s.add(nowhere, "RBEE_WORK_DIR="+nowhere.path("nowhere"))

	unlogged := s.open(t, url, "unlogged")
	require.NoError(t, os.Remove(unlogged.path("logs")))
	require.NoError(t, os.WriteFile(unlogged.path("logs"), nil, 0o600))

	stopping := s.open(t, url, "stopping")
	stopping.gate()
	s.wire.send("stopping", stopping.gated("at-work"))
	eventually(t, func() bool {
		info, err := ask[status](t.Context(), s.wire.nc, "stopping", "hive_status", "{}")
		require.NoError(t, err)
		return info.JobsRunning == 1
	}, "the hive does not work")
	s.hives[len(s.hives)-1].Signal(syscall.SIGTERM)
	s.wire.event("rbee.v1.narration.stopping.@hive.hive_draining")
	return s
}

// open makes a machine with a hive that takes jobs.
func (s *scene) open(t *testing.T, url, id string, env ...string) *machine {
	t.Helper()
	m := newMachine(t, url, id, 40)
	s.add(m, env...)
	return m
}

func (s *scene) add(m *machine, env ...string) {
	s.machines[m.id] = m
	s.hives = append(s.hives, m.serve(env...))
}

// provoke has a job fail and checks what everyone is told.
func (s *scene) provoke(t *testing.T, id string, c cause) {
	t.Helper()
	if c.hive == "" {
		c.hive = "gpu-1"
	}
	head := fmt.Sprintf(`{"job_id":%q,"worker_id":%q,"queen_url":%q,`, id, "w-"+id, queenURL)
	if strings.Contains(c.job, `"worker_id"`) {
		head = fmt.Sprintf(`{"job_id":%q,"queen_url":%q,`, id, queenURL)
	}
	if strings.Contains(c.job, `"job_id"`) {
		head = fmt.Sprintf(`{"queen_url":%q,`, queenURL)
	}
	sent := time.Now()
	reply := s.wire.send(c.hive, head+c.job+"}")
	if c.during != nil {
		c.during(t, s.wire, id)
	}
	f := s.wire.refusal(c.hive, "worker_spawn", reply, c.code, c.status)
	took := time.Since(sent)

	require.NotEmpty(t, f.Message)
	require.Less(t, len(f.Message), 1<<11)
	for _, part := range c.says {
		require.Contains(t, f.Message, part)
	}
	require.Equal(t, c.retryable, f.Retryable)
	require.False(t, f.OOMKilled)
	if c.check != nil {
		c.check(t, f)
	}
	if c.ran {
		s.requireDossier(t, id, c, f, took)
		return
	}
	require.Nil(t, f.ExitCode)
	require.Empty(t, f.Signal)
	require.Empty(t, f.LogTail)
	require.Empty(t, f.LogPath)
	require.Zero(t, f.LivedMS)
	if !c.others && c.hive != "stopping" {
		a, err := ask[single](t.Context(), s.wire.nc, c.hive, "worker_get", fmt.Sprintf(`{"worker_id":%q}`, "w-"+id))
		require.NoError(t, err)
		require.NotNil(t, a.Error, "nothing is left of a worker that was never started")
		require.Equal(t, "worker_not_found", a.Error.Code)
	}
}

// requireDossier checks what is told of a worker that was started, and that worker_get tells the same.
func (s *scene) requireDossier(t *testing.T, id string, c cause, f *failure, took time.Duration) {
	t.Helper()
	a, err := ask[single](t.Context(), s.wire.nc, c.hive, "worker_get", fmt.Sprintf(`{"worker_id":%q}`, "w-"+id))
	require.NoError(t, err)
	require.Nil(t, a.Error)
	w, m := a.Worker, s.machines[c.hive]
	require.Equal(t, f, w.Failure, "the same in worker_get")
	require.Equal(t, id, w.JobID)

	if c.exit < 0 {
		require.Nil(t, f.ExitCode)
	} else {
		require.NotNil(t, f.ExitCode)
		require.Equal(t, c.exit, *f.ExitCode)
	}
	require.Equal(t, c.signal, f.Signal)
	require.Equal(t, m.path("logs", "w-"+id+"."+id+".log"), f.LogPath)
	require.Equal(t, f.LogPath, w.LogPath)
	require.FileExists(t, f.LogPath)
	require.GreaterOrEqual(t, f.LivedMS, int64(0))
	require.LessOrEqual(t, f.LivedMS, took.Milliseconds()+1)
	model := w.Model
	require.Equal(t, []string{
		m.path("catalog", cpuWorker+"-v0.1.0-linux", cpuWorker), "--worker-id", "w-" + id, "--model", model, "--device", "cpu",
		"--port", fmt.Sprint(w.Port), "--queen-url", redacted,
	}, f.Command)
	if c.check == nil {
		require.Equal(t, c.tail, f.LogTail)
	}
	require.LessOrEqual(t, len(f.LogTail), 20)
	require.Less(t, len(strings.Join(f.LogTail, "")), 1<<14)
	for _, line := range f.LogTail {
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\x00")
		require.Equal(t, strings.ToValidUTF8(line, "?"), line)
	}
	if c.after != nil {
		c.after(t, w)
		return
	}
	require.Equal(t, "exited", w.State)
	require.Equal(t, f.ExitCode, w.ExitCode)
	require.Equal(t, f.Signal, w.Signal)
	require.False(t, alive(w.PID) && variable(w.PID, "RBEE_WORKER_ID") == w.WorkerID)
}
