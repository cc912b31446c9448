package queen_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds what a test waits for, far beyond what it takes: it fails a test that would hang.
const patience = 2 * time.Minute

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// a job that any hive could take.
func job() messages.Job { return messages.Job{Model: "meta-llama/Llama-3-8b", Device: "cuda:0"} }

// hive plays a hive: it takes jobs on its subject, and a test says what it does with each.
type hive struct {
	tb       testing.TB
	nc       *nats.Conn
	id       string
	subjects messages.Subjects
	jobs     chan messages.Job // every job that came
}

// playHive subscribes a hive that handles each job with do.
func playHive(tb testing.TB, url, id string, do func(h *hive, req *nats.Msg, job messages.Job)) *hive {
	tb.Helper()
	h := &hive{tb: tb, nc: natstest.Dial(tb, url), id: id, jobs: make(chan messages.Job, 1024)}
	_, err := h.nc.Subscribe(h.subjects.Request(id, messages.WorkerSpawn), func(req *nats.Msg) {
		var job messages.Job
		if err := json.Unmarshal(req.Data, &job); err != nil {
			tb.Errorf("hive %s got %q: %v", id, req.Data, err)
			return
		}
		h.jobs <- job
		do(h, req, job)
	})
	require.NoError(tb, err)
	require.NoError(tb, h.nc.Flush())
	return h
}

// narrate publishes an event of job.
func (h *hive) narrate(job messages.Job, seq int, action messages.Action) {
	e := messages.Event{Seq: seq, Action: action, HiveID: h.id, JobID: job.JobID, WorkerID: "worker-1", Attempt: 1, Human: string(action)}
	e.Terminal = action == messages.ActionSpawnComplete || action == messages.ActionSpawnFailed
	h.publish(e)
}

func (h *hive) publish(e messages.Event) {
	e.Stamp(time.Now())
	h.send(h.subjects.Narration(e.HiveID, e.About(), e.Action), e)
}

func (h *hive) send(subject string, e messages.Event) {
	data, err := e.Encode()
	if err == nil {
		err = h.nc.Publish(subject, data)
	}
	if err != nil {
		h.tb.Errorf("hive %s: %v", h.id, err)
	}
}

// answer replies with a worker that runs.
func (h *hive) answer(req *nats.Msg, job messages.Job) {
	h.reply(req, messages.Result{JobID: job.JobID, HiveID: h.id, WorkerID: "worker-1", PID: 12345, Port: 9001, Device: job.Device, Model: job.Model})
}

func (h *hive) reply(req *nats.Msg, body interface{ Encode() ([]byte, error) }) {
	data, err := body.Encode()
	if err == nil {
		err = req.Respond(data)
	}
	if err != nil {
		h.tb.Errorf("hive %s: %v", h.id, err)
	}
}

// obedient is a hive's way with a job that succeeds.
func obedient(h *hive, req *nats.Msg, job messages.Job) {
	h.narrate(job, 1, messages.ActionSpawnStart)
	h.narrate(job, 2, messages.ActionSpawned)
	h.narrate(job, 3, messages.ActionSpawnComplete)
	h.answer(req, job)
}

// announce makes a hive findable, with this metadata.
func announce(tb testing.TB, url string, meta map[string]string) micro.Service {
	tb.Helper()
	nc := natstest.Dial(tb, url)
	service, err := micro.AddService(nc, micro.Config{Name: "rbee-hive", Version: "0.0.1", Metadata: meta})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, service.Stop()) })
	require.NoError(tb, nc.Flush())
	return service
}

func metadata(id string) map[string]string {
	return map[string]string{"hive_id": id, "platform": "linux/amd64", "version": "1.2.3", "devices": "cpu,cuda:0=NVIDIA L4", "prefix": messages.DefaultPrefix}
}

// guarded starts a server whose user queen has only the given permissions. It is patient with a busy machine.
func guarded(t *testing.T, permissions string) *natsd.Server {
	t.Helper()
	store, path := t.TempDir(), filepath.Join(t.TempDir(), "nats-server.conf")
	conf := fmt.Sprintf("authorization { timeout: 60, users [ {user: hive, password: h}, {user: queen, password: q, permissions: { %s }} ] }\n", permissions)
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	srv, err := natsd.Start(natsd.Config{StoreDir: store, ConfigFile: path})
	require.NoError(t, err)
	t.Cleanup(srv.Shutdown)
	return srv
}

// connect returns a client on a connection of its own.
func connect(tb testing.TB, url string, opts ...nats.Option) (*queen.Client, *nats.Conn) {
	tb.Helper()
	nc := natstest.Dial(tb, url, opts...)
	return queen.New(nc, queen.Config{}), nc
}

// golden compares got with a file, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}
