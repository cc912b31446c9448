//go:build linux

package spawner_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

func TestSpawnTellsTheStoryToTheLetter(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	j := job("job-1", "meta-llama/Llama-3-8b")
	j.WorkerID, j.QueenURL, j.Device, j.Port = "worker-abc123", "http://localhost:8500", "CPU-0", h.cfg.Ports.First+7
	got := h.spawn(j)
	require.Nil(t, got.err)
	bin := filepath.Join(h.cfg.CatalogDir, "cpu-llm-worker-rbee-v0.1.0-linux", cpuWorker)
	require.Equal(t, fmt.Sprintf(`🚀 Spawning worker 'worker-abc123' for model 'meta-llama/Llama-3-8b' on device 'CPU-0' port %[1]d
Worker type: CpuLlm (device: CPU-0)
Found in the catalog: cpu-llm-worker-rbee 0.1.0
Worker binary: %[2]s
Command: %[2]s --worker-id worker-abc123 --model meta-llama/Llama-3-8b --device CPU-0 --port %[1]d --queen-url http://localhost:8500
✅ Worker 'worker-abc123' spawned (PID: %[3]d, port: %[1]d)
`, j.Port, bin, got.result.PID), got.humans())
	require.Equal(t, []messages.Action{
		messages.ActionSpawnStart, messages.ActionTypeDetermined, messages.ActionBinaryCatalog, messages.ActionBinaryFound,
		messages.ActionSpawnCommand, messages.ActionSpawned,
	}, got.actions())
	require.Equal(t, 1, got.waited)

	require.WithinDuration(t, time.Now(), got.result.StartedAt, time.Minute)
	want := messages.Result{
		JobID: "job-1", HiveID: "gpu-1", WorkerID: "worker-abc123", PID: got.result.PID, Port: j.Port, BinaryPath: bin,
		WorkerType: "CpuLlm", Worker: cpuWorker, Version: "0.1.0", Source: "catalog", Device: "CPU-0", Model: j.Model,
		StartedAt: got.result.StartedAt, LogPath: filepath.Join(h.cfg.LogDir, "worker-abc123.job-1.log"),
	}
	require.Equal(t, want, got.result)
	awaitLog(t, want.LogPath, "playing meta-llama/Llama-3-8b")
}

func TestFreePortsAreOfTheRangeAndDistinct(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = 0; c.Ports.Last = c.Ports.First + 1 })
	first, second := h.spawn(job("a", "live")), h.spawn(job("b", "live"))
	require.ElementsMatch(t, []int{h.cfg.Ports.First, h.cfg.Ports.Last}, []int{first.result.Port, second.result.Port})
	third := h.spawn(job("c", "live"))
	require.ErrorIs(t, third.err, messages.NoFreePort)
	require.True(t, third.err.Retryable)
	require.Contains(t, third.err.Message, h.cfg.Ports.String())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	script := h.entry("script-worker", "1.0.0")
	require.NoError(t, os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755))
	unfit := h.entry("unfit-worker", "1.0.0")
	require.NoError(t, os.WriteFile(unfit, []byte("no program"), 0o755))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	takenPort := taken.Addr().(*net.TCPAddr).Port
	neighbour := h.spawn(job("neighbour", "live"))
	require.Nil(t, neighbour.err)

	for name, test := range map[string]struct {
		change func(*messages.Job)
		code   messages.Code
		says   string
	}{
		"no such kind of device":  {func(j *messages.Job) { j.Device = "cpufoo" }, messages.UnsupportedDevice, "cpufoo"},
		"negative device":         {func(j *messages.Job) { j.Device = "cuda:-1" }, messages.UnsupportedDevice, "cuda:-1"},
		"another system's device": {func(j *messages.Job) { j.Device = "metal" }, messages.UnsupportedPlatform, "linux"},
		"worker not installed":    {func(j *messages.Job) { j.Worker = "nobody" }, messages.WorkerNotInstalled, "nobody"},
		"version not installed":   {func(j *messages.Job) { j.Version = "9.9.9" }, messages.WorkerNotInstalled, "9.9.9"},
		"no program":              {func(j *messages.Job) { j.Worker = "unfit-worker" }, messages.BinaryInvalid, "unfit-worker"},
		"missing interpreter":     {func(j *messages.Job) { j.Worker = "script-worker" }, messages.BinaryInvalid, "/no/such/interpreter"},
		"port of another program": {func(j *messages.Job) { j.Port = takenPort }, messages.PortInUse, fmt.Sprintf("PID %d", os.Getpid())},
		"port of another worker":  {func(j *messages.Job) { j.Port = neighbour.result.Port }, messages.PortInUse, neighbour.result.WorkerID},
	} {
		t.Run(name, func(t *testing.T) {
			j := job("refused", "live")
			test.change(&j)
			got := h.spawn(j)
			require.ErrorIs(t, got.err, test.code)
			require.Contains(t, got.err.Message, test.says)
			require.NotContains(t, got.err.Message, "\n")
			require.NotContains(t, got.actions(), messages.ActionSpawned)
			require.Equal(t, messages.ActionSpawnStart, got.actions()[0])
			require.Zero(t, got.waited)
			require.NoDirExists(t, filepath.Join(h.cfg.RunDir, "workers", j.WorkerID), "a refused job leaves nothing")
		})
	}
	missing := h.spawn(func() messages.Job { j := job("m", "live"); j.Worker = "nobody"; return j }())
	require.NotEmpty(t, missing.err.Tried)
}

func TestStartThatTheSystemRefuses(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.WorkDir = "/no/such/directory" })
	got := h.spawn(job("j", "live"))
	require.ErrorIs(t, got.err, messages.SpawnFailed)
	require.ErrorIs(t, got.err, syscall.ENOENT)
	require.Contains(t, got.err.Message, "/no/such/directory")
	require.NoDirExists(t, filepath.Join(h.cfg.RunDir, "workers", job("j", "").WorkerID))
}

func TestWorkerThatExitsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = time.Minute })
	got := h.spawn(job("j", "exit:127"))
	require.ErrorIs(t, got.err, messages.WorkerExited)
	require.Equal(t, 127, *got.err.ExitCode)
	require.Equal(t, []string{"playing exit:127", "fatal: no such tensor"}, got.err.LogTail)
	require.Contains(t, got.err.Message, "cpu-llm-worker-rbee exited with code 127 after ")
	require.Contains(t, got.err.Message, "fatal: no such tensor")
	require.Equal(t, messages.ActionExited, got.actions()[len(got.events)-1])
	require.NotContains(t, got.actions(), messages.ActionSpawned)
	require.Empty(t, h.exited, "an end inside a job is the job's story")

	again := h.spawn(job("j", "exit:127"))
	require.ErrorIs(t, again.err, messages.WorkerExited, "the same job gets the same answer")
	require.Equal(t, 127, *again.err.ExitCode)
	require.Equal(t, []messages.Action{messages.ActionSpawnReplayed}, again.actions())
}

func TestWorkerThatIsKilled(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = time.Minute })
	got := h.spawn(job("j", "die"))
	require.ErrorIs(t, got.err, messages.WorkerExited)
	require.Nil(t, got.err.ExitCode)
	require.Equal(t, "SIGKILL", got.err.Signal)
}

func TestWatchEndsWhenTheWorkerListens(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = time.Hour })
	require.Nil(t, h.spawn(job("j", "serve:ready")).err)
}

func TestEndAfterTheAnswerIsToldOutsideTheJob(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	got := h.spawn(job("j", "live"))
	require.Nil(t, got.err)
	require.NoError(t, syscall.Kill(got.result.PID, syscall.SIGKILL))
	e := <-h.exited
	require.Equal(t, messages.ActionExited, e.Action)
	require.Equal(t, got.result.WorkerID, e.WorkerID)
	require.Equal(t, "SIGKILL", e.Fields.Signal)
	require.Equal(t, "j", e.Fields.StartedBy)
	require.Equal(t, messages.LevelWarn, e.Level)
	require.Contains(t, e.Human, "was ended by SIGKILL after ")
}

func TestSameJobAgainStartsNothing(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "live"))
	require.Nil(t, first.err)
	want := first.result
	want.Replayed = true

	again := h.spawn(job("j", "live"))
	require.Nil(t, again.err)
	require.Equal(t, want, again.result)
	require.Equal(t, []messages.Action{messages.ActionSpawnReplayed}, again.actions())
	require.Equal(t, 2, again.events[0].Attempt)

	require.NoError(t, syscall.Kill(first.result.PID, syscall.SIGKILL))
	<-h.exited
	want.Ended = true
	gone := h.spawn(job("j", "live"))
	require.Equal(t, want, gone.result, "its result is on disk when the worker is gone")
	require.Contains(t, gone.humans(), "has ended since")

	other := h.spawn(job("j", "another-model"))
	require.ErrorIs(t, other.err, messages.WorkerConflict)
	require.Contains(t, other.err.Message, "use another job_id")
}

func TestWorkerIDIsTakenWhileItsWorkerLives(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := job("first", "live")
	first.WorkerID = "mine"
	got := h.spawn(first)
	require.Nil(t, got.err)

	second := job("second", "other")
	second.WorkerID = "mine"
	conflict := h.spawn(second)
	require.ErrorIs(t, conflict.err, messages.WorkerConflict)
	require.Contains(t, conflict.err.Message, "first")

	second.Model = "live"
	same := h.spawn(second)
	require.Nil(t, same.err, "what it asks for runs")
	require.Equal(t, got.result.PID, same.result.PID)
	require.Equal(t, "second", same.result.JobID)

	require.NoError(t, syscall.Kill(got.result.PID, syscall.SIGKILL))
	<-h.exited
	second.Model = "other"
	fresh := h.spawn(second)
	require.Nil(t, fresh.err, "the id is free when its worker is gone")
	require.NotEqual(t, got.result.PID, fresh.result.PID)
}

// What a job leaves open is whatever its worker got.
func TestSameJobWithItsPortNamed(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "live"))
	require.Nil(t, first.err)
	again := job("j", "live")
	again.Port, again.QueenURL = first.result.Port, "http://localhost:8500"
	require.True(t, h.spawn(again).result.Replayed)
	again.Port++
	require.ErrorIs(t, h.spawn(again).err, messages.WorkerConflict)
}

// A worker has ended and left a process behind that holds its lock: its id is not free, and nobody is told that it runs.
func TestLockHeldByWhatAWorkerLeft(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = 0 })
	first := job("first", "orphan:told")
	first.WorkerID = "mine"
	got := h.spawn(first)
	require.Nil(t, got.err)
	log := awaitLog(t, got.result.LogPath, "left")
	var orphan int
	_, err := fmt.Sscanf(log[strings.Index(log, "child "):], "child %d left", &orphan)
	require.NoError(t, err)
	h.started(orphan)
	require.NoError(t, syscall.Kill(got.result.PID, syscall.SIGTERM))
	<-h.exited
	second := job("second", "orphan")
	second.WorkerID = "mine"
	conflict := h.spawn(second)
	require.ErrorIs(t, conflict.err, messages.WorkerConflict)
	require.Contains(t, conflict.err.Message, "holds its lock")
	require.True(t, h.spawn(first).result.Replayed, "its own job was answered")
}

// Of one job that arrives many times at once, one starts the worker, and all are told the same.
func TestOneJobManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	var group sync.WaitGroup
	answers := make([]told, 20)
	for i := range answers {
		group.Go(func() { answers[i] = h.spawn(job("j", "live")) })
	}
	group.Wait()
	started := 0
	for _, a := range answers {
		require.Nil(t, a.err)
		require.Equal(t, answers[0].result.PID, a.result.PID)
		if !a.result.Replayed {
			started++
		}
	}
	require.Equal(t, 1, started)
}

// A second caller of a job whose worker dies while it is watched is told of the death, too.
func TestReplayAwaitsTheWatch(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = 30 * time.Second })
	var group sync.WaitGroup
	answers := make([]told, 4)
	for i := range answers {
		group.Go(func() { answers[i] = h.spawn(job("j", "exit:5")) })
	}
	group.Wait()
	for _, a := range answers {
		require.ErrorIs(t, a.err, messages.WorkerExited)
		require.Equal(t, 5, *a.err.ExitCode)
	}
}

func TestEnvironmentIsAnAllowList(t *testing.T) {
	for name, value := range map[string]string{"NATS_PASSWORD": "secret", "RBEE_QUEEN_URL": "http://q", "AWS_SECRET_ACCESS_KEY": "secret", "HF_TOKEN": "passed", "LC_ALL": "C"} {
		t.Setenv(name, value)
	}
	h := newHive(t, func(c *spawner.Config) { c.PassEnv = []string{"HF_TOKEN"} })
	got := h.spawn(job("j", "env"))
	require.Nil(t, got.err)
	log := awaitLog(t, got.result.LogPath, "end of env")
	for _, line := range []string{
		"RBEE_WORKER_ID=" + got.result.WorkerID, "RBEE_JOB_ID=j", "RBEE_HIVE_ID=gpu-1",
		fmt.Sprintf("RBEE_PORT=%d", got.result.Port), "HF_TOKEN=passed", "LC_ALL=C", "PATH=" + os.Getenv("PATH"),
	} {
		require.Contains(t, log, line+"\n")
	}
	require.NotContains(t, log, "secret")
	require.NotContains(t, log, "RBEE_QUEEN_URL")

	cfg := h.cfg
	cfg.PassEnv = []string{"NATS_PASSWORD"}
	_, err := spawner.New(cfg)
	require.ErrorContains(t, err, "NATS_PASSWORD")
}

func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	j := job("j", "s3://key:hunter2@bucket/model")
	j.QueenURL = "http://user:hunter2@localhost:8500"
	got := h.spawn(j)
	require.Nil(t, got.err)
	for _, e := range got.events {
		data, err := e.Encode()
		require.NoError(t, err)
		require.NotContains(t, string(data), "hunter2")
	}
	require.Contains(t, got.humans(), "--queen-url http://***@localhost:8500")
}

func TestWorkerThatPrintsWithoutEndDisturbsNobody(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	require.Nil(t, h.spawn(job("noisy", "print")).err)
	require.Nil(t, h.spawn(job("quiet", "live")).err)
}

func TestDevelopmentTreeComesBehindTheCatalog(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := newHive(t, func(c *spawner.Config) { c.DevRoot = root })
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "Cargo.toml"), []byte("[workspace]\n"), 0o600))
	paths := map[string]string{}
	for _, profile := range []string{"debug", "release"} {
		paths[profile] = filepath.Join(root, "target", profile, cpuWorker)
		require.NoError(t, os.MkdirAll(filepath.Dir(paths[profile]), 0o755))
		require.NoError(t, os.Link(self, paths[profile]))
	}
	require.Equal(t, "catalog", h.spawn(job("a", "live")).result.Source)
	require.NoError(t, os.RemoveAll(h.cfg.CatalogDir))
	b := h.spawn(job("b", "live"))
	require.Equal(t, "debug", b.result.Source)
	require.Contains(t, b.actions(), messages.ActionBinaryDebug)
	require.NoError(t, os.Remove(paths["debug"]))
	c := h.spawn(job("c", "live"))
	require.Equal(t, "release", c.result.Source)
	require.Equal(t, paths["release"], c.result.BinaryPath)
	require.Contains(t, c.actions(), messages.ActionBinaryRelease)
	require.NoError(t, os.Remove(paths["release"]))
	d := h.spawn(job("d", "live"))
	require.ErrorIs(t, d.err, messages.WorkerNotInstalled)
	require.Contains(t, strings.Join(d.err.Tried, "\n"), filepath.Join("target", "debug"))
	require.Contains(t, strings.Join(d.err.Tried, "\n"), filepath.Join("target", "release"))
}

func TestBrokenEntryIsSkippedAndNamed(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	broken := h.entry(cpuWorker, "9.0.0")
	require.NoError(t, os.WriteFile(broken, nil, 0o755))
	got := h.spawn(job("j", "live"))
	require.Nil(t, got.err)
	require.Equal(t, "0.1.0", got.result.Version)
	require.Contains(t, got.actions(), messages.ActionBinarySkipped)
	require.Contains(t, got.humans(), "v9.0.0")
}

func TestDrainingHiveStartsNothing(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Spawn(ctx, job("j", "live"), func(messages.Event) {}, holdsNothing)
	require.ErrorIs(t, err, messages.HiveDraining)
}

func TestTwoHundredAtOnce(t *testing.T) {
	h := newHive(t, func(c *spawner.Config) { c.Ports = ports(t, 200) })
	files := countFiles(t)
	var group sync.WaitGroup
	answers := make([]told, 200)
	for i := range answers {
		group.Go(func() { answers[i] = h.spawn(job(fmt.Sprintf("job-%d", i), "live")) })
	}
	group.Wait()
	used := map[int]bool{}
	for _, a := range answers {
		require.Nil(t, a.err)
		used[a.result.Port] = true
	}
	require.Len(t, used, 200)
	require.LessOrEqual(t, countFiles(t)-files, 200+20, "one pidfd for each worker, and what the tests beside this one open")
	for _, a := range answers {
		require.NoError(t, syscall.Kill(a.result.PID, syscall.SIGKILL))
	}
	for range answers {
		<-h.exited
	}
	for _, a := range answers {
		require.ErrorIs(t, syscall.Kill(a.result.PID, 0), syscall.ESRCH, "no zombie")
	}
	require.LessOrEqual(t, countFiles(t), files+20)
}

func countFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
