//go:build linux

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// killsVariable says how often the hive is killed in [TestAHiveKilledAtAnyMomentKnowsItsWorkers]; a few times if it is empty.
const killsVariable = "RBEE_E2E_KILLS"

// Whenever a hive is killed in the middle of starts and deletes, the next one knows what lives and what does not, and can
// end all of it.
func TestAHiveKilledAtAnyMomentKnowsItsWorkers(t *testing.T) {
	t.Parallel()
	kills := 15
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err, killsVariable)
	}
	const longest = 120 * time.Millisecond // until most of a round's load is answered
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 200)
	nc := natstest.Dial(t, server.URL())
	l := &load{m: m, nc: nc}

	h := m.serve("RBEE_STOP_GRACE=100ms")
	for round := range kills {
		ctx, hang := context.WithCancel(t.Context())
		moment := time.NewTimer(rand.N(longest))
		wait := l.begin(ctx, round)
		<-moment.C
		h.Kill()
		hang()
		wait()
		h = m.serve("RBEE_STOP_GRACE=100ms")
		l.requireTruth(t, h)
	}
	t.Logf("killed %d times, with up to %d workers: %d spawns and %d deletes were answered", kills, l.most, l.spawned, l.deleted)

	l.endAll(t)
	require.Empty(t, list(t, nc, false))
	require.Empty(t, l.living())
	h.Kill()
	require.Empty(t, m.orphans())
}

// load is spawns and deletes of all kinds of workers, without end.
type load struct {
	m  *machine
	nc *nats.Conn

	known []string // the workers that lived after the last kill
	most  int      // the most that lived at once

	mu               sync.Mutex
	spawned, deleted int // answered with success
}

// begin sends the requests of a round, all at once. Those that are not answered until ctx ends are given up.
func (l *load) begin(ctx context.Context, round int) (wait func()) {
	const spawns, deletes, crowd = 8, 6, 60
	var group sync.WaitGroup
	models := []string{"m", "m", "mute", "family", "other", "exit:1", "orphans", "print"}
	for i := range spawns {
		if len(l.known) > crowd {
			break
		}
		wait := []string{"spawned", "ready"}[rand.N(2)]
		job := fmt.Sprintf(`{"job_id":"job-%d-%d","worker_id":"w-%d-%d","model":%q,"device":"cpu","wait":%q,"ready_timeout_ms":200}`,
			round, i, round, i, models[rand.N(len(models))], wait)
		group.Go(func() { l.send(ctx, "worker_spawn", job, &l.spawned) })
	}
	for i, at := range rand.Perm(len(l.known)) {
		if i == deletes {
			break
		}
		job := fmt.Sprintf(`{"worker_id":%q,"grace_ms":%d}`, l.known[at], 1+rand.N(100))
		group.Go(func() { l.send(ctx, "worker_delete", job, &l.deleted) })
	}
	return group.Wait
}

func (l *load) send(ctx context.Context, operation, job string, count *int) {
	msg, err := l.nc.RequestWithContext(ctx, "rbee.v1.hive.gpu-1."+operation, []byte(job))
	if err == nil && msg.Header.Get("Nats-Service-Error-Code") == "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		*count++
	}
}

// living returns the living processes of workers on the machine by their workers, as they are found without the hive: by their
// environment and, where that is gone, by what they wrote down when they were started.
func (l *load) living() map[string]map[int]bool {
	living := map[string]map[int]bool{}
	add := func(worker string, pid int) {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil || !l.m.holds(cwd) || isFork(pid) || !alive(pid) {
			return
		}
		if living[worker] == nil {
			living[worker] = map[int]bool{}
		}
		living[worker][pid] = true
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if worker := variable(pid, "RBEE_WORKER_ID"); worker != "" {
			add(worker, pid)
		}
	}
	for _, s := range l.m.starts() {
		if variable(s.pid, "RBEE_WORKER_ID") == "" {
			add(s.worker, s.pid)
		}
	}
	return living
}

// requireTruth requires that a hive which has just come up knows every worker that lives, and says of none that it lives which
// does not. What was told to end when its hive was killed may do so meanwhile; nothing else happens.
func (l *load) requireTruth(t *testing.T, h *hive) {
	t.Helper()
	var wrong []string
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		before := l.living()
		all := list(t, l.nc, true)
		if wrong = contradictions(before, all); len(wrong) == 0 && len(before) == len(l.living()) {
			break
		}
		require.True(t, time.Now().Before(late), "%s\n%s\n%s", strings.Join(wrong, "\n"), l.dossier(wrong), h.Said())
	}
	l.known = nil
	for worker := range l.living() {
		l.known = append(l.known, worker)
	}
	l.most = max(l.most, len(l.known))
}

// dossier returns what the run directory and the kernel say of the workers with which the lines begin, for who reads of a failure.
func (l *load) dossier(wrong []string) string {
	var all strings.Builder
	show := func(pattern string) {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			target, _ := os.Readlink(file)
			fmt.Fprintf(&all, "%s: %s%q %v\n", file, target, text, err)
		}
	}
	for _, line := range wrong {
		worker, _, _ := strings.Cut(line, " ")
		show(l.m.path("run", "workers", worker, "*"))
		show(l.m.path("logs", worker+".*"))
		for pid := range l.living()[worker] {
			for _, file := range []string{"stat", "cmdline", "environ", "fdinfo/*"} {
				show(fmt.Sprintf("/proc/%d/%s", pid, file))
			}
		}
	}
	return all.String()
}

// contradictions says where a hive's list and the processes of its machine differ.
func contradictions(living map[string]map[int]bool, all []found) (wrong []string) {
	workers, ports := map[string]bool{}, map[int]string{}
	for _, w := range all {
		if workers[w.WorkerID] {
			wrong = append(wrong, w.WorkerID+" is listed twice")
		}
		workers[w.WorkerID] = true
		if w.State == "exited" {
			if len(living[w.WorkerID]) > 0 {
				wrong = append(wrong, fmt.Sprintf("%s is said to have exited, and %v live", w.WorkerID, living[w.WorkerID]))
			}
			continue
		}
		if len(living[w.WorkerID]) == 0 {
			wrong = append(wrong, w.WorkerID+" is said to live")
		}
		if other, taken := ports[w.Port]; taken {
			wrong = append(wrong, fmt.Sprintf("%s and %s have port %d", w.WorkerID, other, w.Port))
		}
		ports[w.Port] = w.WorkerID
	}
	for worker, pids := range living {
		if !workers[worker] {
			for pid := range pids {
				command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				wrong = append(wrong, fmt.Sprintf("%s lives (%d %q) and is not listed", worker, pid, command))
			}
		}
	}
	return wrong
}

// endAll deletes every worker that lives, all at once. Each delete must end, and with success.
func (l *load) endAll(t *testing.T) {
	t.Helper()
	errs := make(chan error, len(l.known))
	for _, worker := range l.known {
		go func() {
			d, err := ask[deleted](t.Context(), l.nc, "gpu-1", "worker_delete", fmt.Sprintf(`{"worker_id":%q,"grace_ms":100}`, worker))
			if err == nil && d.Error != nil {
				err = fmt.Errorf("%s: %s: %s", worker, d.Error.Code, d.Error.Message)
			}
			errs <- err
		}()
	}
	for range l.known {
		require.NoError(t, <-errs)
	}
}
