//go:build linux

package process_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/spawner/process"
)

// tree is a worker with all that came from it.
type tree struct {
	process.Tree
	m   machine
	p   *process.Process
	log string

	pidfds map[string]int
	pids   map[string]int
}

// plant starts a worker that plays the script, and waits until each of the names was said. All of those are dead when the
// test ends.
func (m machine) plant(t *testing.T, worker, script string, names ...string) *tree {
	t.Helper()
	claim := m.claim(t, worker)
	defer claim.Release()
	port := m.take(t, 0)
	defer port.Release()
	tr := &tree{m: m, log: filepath.Join(m.dir, worker+".log"), pidfds: make(map[string]int), pids: make(map[string]int)}
	cmd := m.command(t, "tree "+script)
	cmd.LogPath = tr.log
	tr.Tree = process.Tree{Worker: worker, Port: port.Number, Env: []string{"TREE_TEST_RUN=" + m.dir, "TREE_TEST_WORKER=" + worker}}
	cmd.Env = append(cmd.Env, append(tr.Env, endAtOnce, "TREE_TEST_PORT="+strconv.Itoa(port.Number))...)
	require.NoError(t, claim.Prepare([]byte(`{"worker":"`+worker+`"}`)))
	p, err := process.Start(cmd, claim, port)
	require.NoError(t, err)
	require.NoError(t, claim.Commit(p.Started))
	tr.p, tr.Leader = p, p.Identity
	m.watcher.Watch(p, func(process.Exit) {})
	t.Cleanup(func() {
		_ = unix.Kill(p.Identity.PID, unix.SIGKILL)
		<-p.Done()
		for _, pidfd := range tr.pidfds {
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
			_ = unix.Close(pidfd)
		}
	})
	for _, name := range names {
		tr.await(t, name)
	}
	return tr
}

// await waits until the process of this name has said so.
func (tr *tree) await(t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		data, _ := os.ReadFile(tr.log)
		_, after, ok := strings.Cut(string(data), "here "+name+" ")
		text, _, whole := strings.Cut(after, "\n")
		if !ok || !whole {
			return false
		}
		pid, err := strconv.Atoi(text)
		require.NoError(t, err)
		pidfd, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		tr.pids[name], tr.pidfds[name] = pid, pidfd
		return true
	}, patience, time.Millisecond, "%s of %s", name, tr.log)
}

func (tr *tree) lives(name string) bool {
	fds := []unix.PollFd{{Fd: int32(tr.pidfds[name]), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 0
}

func (tr *tree) requireDead(t *testing.T) {
	t.Helper()
	for name := range tr.pidfds {
		require.False(t, tr.lives(name), name)
	}
	members, err := tr.m.run.Members(tr.Tree)
	require.NoError(t, err)
	require.Empty(t, members)
}

// awaitOrphan waits until the process has lost its parent to whoever takes orphans.
func (tr *tree) awaitOrphan(t *testing.T, name, parent string) {
	t.Helper()
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(tr.pids[name]) + "/stat")
		return err == nil && !strings.Contains(string(stat), " S "+strconv.Itoa(tr.pids[parent])+" ") && !tr.lives(parent)
	}, patience, time.Millisecond)
}

// told collects what an end tells.
type told []string

func (l *told) tell(signal string, processes int) {
	*l = append(*l, signal+" "+strconv.Itoa(processes))
}

func TestEndOfAWorkerThatObeys(t *testing.T) {
	t.Parallel()
	tr := newMachine(t).plant(t, "w1", "listen say=leader wait", "leader")
	var l told
	ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{Tell: l.tell})
	require.NoError(t, err)
	require.Equal(t, process.Ending{Signal: "SIGTERM", Processes: 1, Took: ending.Took}, ending)
	require.Less(t, ending.Took, process.DefaultGrace)
	require.Equal(t, told{"SIGTERM 1"}, l)
	tr.requireDead(t)
	<-tr.p.Done()
	require.Equal(t, 0, tr.p.Exit().Code, "who waits for the leader gets how it ended")
	require.Empty(t, tr.p.Exit().Signal)
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(tr.Port))
	require.NoError(t, err)
	require.NoError(t, listener.Close())

	_, err = tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{})
	require.ErrorIs(t, err, process.ErrGone)
}

func TestEndTakesTheWholeTree(t *testing.T) {
	t.Parallel()
	script := "child=bare-daemon=say=grandchild;wait,say=child,wait anonymous=say=anonymous,wait bare=ignore,say=deaf,wait say=leader wait"
	tr := newMachine(t).plant(t, "w1", script, "leader", "child", "grandchild", "anonymous", "deaf")
	members, err := tr.m.run.Members(tr.Tree)
	require.NoError(t, err)
	require.Len(t, members, 5)
	require.Equal(t, tr.Leader, members[0])

	var l told
	ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{Grace: 500 * time.Millisecond, Tell: l.tell})
	require.NoError(t, err)
	require.Equal(t, process.Ending{Signal: "SIGKILL", Processes: 5, Took: ending.Took}, ending)
	require.GreaterOrEqual(t, ending.Took, 500*time.Millisecond)
	require.Equal(t, "SIGTERM 1", l[0], "the leader comes first")
	require.Equal(t, "SIGKILL 1", l[len(l)-1])
	tr.requireDead(t)
}

func TestEndFindsWhoHides(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"a title and closed descriptors": "title close say=leader wait",
		"no first thread":                "say=leader headless wait",
		"stopped":                        "say=leader stop wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newMachine(t).plant(t, "w1", script, "leader")
			switch name {
			case "stopped":
				tr.awaitState(t, "leader", 'T')
			case "no first thread":
				tr.awaitState(t, "leader", 'Z')
			}
			require.True(t, tr.lives("leader"))
			ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{})
			require.NoError(t, err)
			require.Equal(t, process.Ending{Signal: "SIGTERM", Processes: 1, Took: ending.Took}, ending)
			tr.requireDead(t)
		})
	}
}

func (tr *tree) awaitState(t *testing.T, name string, state byte) {
	t.Helper()
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(tr.pids[name]) + "/stat")
		return err == nil && stat[strings.LastIndex(string(stat), ")")+2] == state
	}, patience, time.Millisecond)
}

// What a worker leaves behind when it ends by itself is found by what it cannot help having, and ended.
func TestEndOfOrphans(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"lock":        "child=daemon=say=orphan;wait,say=parent,wait say=leader wait",
		"environment": "child=bare-daemon=say=orphan;wait,say=parent,wait say=leader wait",
	} {
		for _, dead := range []bool{false, true} {
			t.Run(name+" leader dead "+strconv.FormatBool(dead), func(t *testing.T) {
				t.Parallel()
				tr := newMachine(t).plant(t, "w1", script, "leader", "parent", "orphan")
				require.NoError(t, unix.PidfdSendSignal(tr.pidfds["parent"], unix.SIGKILL, nil, 0))
				tr.awaitOrphan(t, "orphan", "parent")
				count := 2
				if dead {
					require.NoError(t, unix.PidfdSendSignal(tr.pidfds["leader"], unix.SIGKILL, nil, 0))
					<-tr.p.Done()
					count = 1
				}
				if name == "lock" {
					tr.Env = nil
				}
				ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{})
				require.NoError(t, err)
				require.Equal(t, process.Ending{Signal: "SIGTERM", Processes: count, Took: ending.Took}, ending)
				tr.requireDead(t)
				_, err = tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{})
				require.ErrorIs(t, err, process.ErrGone)
			})
		}
	}
}

// A leader that starts more and more when it is asked to end, each child in a session of its own, without lock and name.
func TestEndOutrunsAWorkerThatBreeds(t *testing.T) {
	t.Parallel()
	tr := newMachine(t).plant(t, "w1", "say=leader breed", "leader")
	ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{Grace: 60 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, "SIGKILL", ending.Signal)
	require.Greater(t, ending.Processes, 1)
	tr.requireDead(t)
	requireNobodyWrites(t, tr.log)
}

// requireNobodyWrites requires that no process has the log as its output.
func requireNobodyWrites(t *testing.T, log string) {
	t.Helper()
	outs, err := filepath.Glob("/proc/[0-9]*/fd/1")
	require.NoError(t, err)
	for _, out := range outs {
		target, err := os.Readlink(out)
		require.False(t, err == nil && target == log, out)
	}
}

func TestEndSignalsNobodyElse(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	innocent := m.plant(t, "innocent", "say=leader bare=say=child,wait wait", "leader", "child")
	for name, forge := range map[string]func(*process.Identity){
		"later start":   func(id *process.Identity) { id.StartTicks++ },
		"earlier start": func(id *process.Identity) { id.StartTicks-- },
		"no start":      func(id *process.Identity) { id.StartTicks = 0 },
		"another boot":  func(id *process.Identity) { id.BootID = "another" },
		"no session":    func(id *process.Identity) { *id = identityOf(t, innocent.pids["child"], id.BootID) },
		"this process":  func(id *process.Identity) { *id = identityOf(t, os.Getpid(), id.BootID) },
		"its parent":    func(id *process.Identity) { *id = identityOf(t, os.Getppid(), id.BootID) },
		"own group":     func(id *process.Identity) { id.PID = 0 },
		"init":          func(id *process.Identity) { *id = identityOf(t, 1, id.BootID) },
		"everyone":      func(id *process.Identity) { id.PID = -1 },
		"a group":       func(id *process.Identity) { id.PID = -id.PID },
		"too large":     func(id *process.Identity) { id.PID += 1 << 32 },
	} {
		forged := process.Tree{Leader: innocent.Leader, Worker: "forged", Env: []string{"TREE_TEST_RUN=" + m.dir, "TREE_TEST_WORKER=forged"}}
		forge(&forged.Leader)
		claim := m.claim(t, "forged")
		require.NoError(t, claim.Prepare([]byte(`{"worker":"forged"}`)))
		require.NoError(t, claim.Commit(process.Started{Identity: forged.Leader}))
		claim.Release()
		_, err := m.run.End(t.Context(), forged, process.EndConfig{Grace: -1})
		require.ErrorIs(t, err, process.ErrGone, name)
		members, err := m.run.Members(forged)
		require.NoError(t, err, name)
		require.Empty(t, members, name)
	}
	require.True(t, innocent.lives("leader"))
	require.True(t, innocent.lives("child"))
}

func identityOf(t testing.TB, pid int, boot string) process.Identity {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	require.NoError(t, err)
	fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	require.NoError(t, err)
	return process.Identity{PID: pid, StartTicks: ticks, BootID: boot}
}

// Whoever reads a worker's files, or has taken over its id, is not the worker.
func TestEndSparesReadersAndSuccessors(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	tr := m.plant(t, "w1", "say=leader wait", "leader")
	file, err := os.Open(filepath.Join(m.run.Path(), "workers", "w1", "lock"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	reader := exec.Command("sleep", "60")
	reader.ExtraFiles = []*os.File{file}
	require.NoError(t, reader.Start())
	defer func() { _ = reader.Process.Kill(); _ = reader.Wait() }()
	members, err := m.run.Members(tr.Tree)
	require.NoError(t, err)
	require.Equal(t, []process.Identity{tr.Leader}, members)
	_, err = m.run.End(t.Context(), tr.Tree, process.EndConfig{})
	require.NoError(t, err)
	require.NoError(t, reader.Process.Signal(syscall.Signal(0)))

	successor := m.plant(t, "w1", "say=successor child=say=child,wait wait", "successor", "child")
	_, err = m.run.End(t.Context(), tr.Tree, process.EndConfig{})
	require.ErrorIs(t, err, process.ErrGone)
	require.True(t, successor.lives("successor"))
	require.True(t, successor.lives("child"))
}

func TestTwoEndsAtOnce(t *testing.T) {
	t.Parallel()
	tr := newMachine(t).plant(t, "w1", "child=say=child,wait say=leader wait", "leader", "child")
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{})
			if err == nil && (ending.Signal != "SIGTERM" || ending.Processes < 1 || ending.Processes > 2) {
				err = errors.New("not what happened")
			}
			if err == nil && (tr.lives("leader") || tr.lives("child")) {
				err = errors.New("somebody lives")
			}
			errs <- err
		}()
	}
	ended := 0
	for range cap(errs) {
		if err := <-errs; err == nil {
			ended++
		} else {
			require.ErrorIs(t, err, process.ErrGone)
		}
	}
	require.Positive(t, ended)
	tr.requireDead(t)
}

func TestEndTellsWhoHasThePort(t *testing.T) {
	t.Parallel()
	tr := newMachine(t).plant(t, "w1", "say=leader wait", "leader")
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(tr.Port))
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{})
	require.NoError(t, err, "the worker has ended, whoever has its port")
	require.True(t, ending.PortHeld)
	require.Equal(t, os.Getpid(), ending.PortHolder.PID)
	tr.requireDead(t)
}

func TestEndStopsAskingWithItsContext(t *testing.T) {
	t.Parallel()
	tr := newMachine(t).plant(t, "w1", "ignore say=leader wait", "leader")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := tr.m.run.End(ctx, tr.Tree, process.EndConfig{Tell: func(string, int) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, tr.lives("leader"))
	ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{Grace: -1})
	require.NoError(t, err)
	require.Equal(t, "SIGKILL", ending.Signal)
	tr.requireDead(t)
}

// The lock says that somebody lives, and nobody who could be the worker has it.
func TestEndIsNoSuccessWhileTheLockIsHeld(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	tr := m.plant(t, "w1", "say=leader close wait", "leader")
	var claim *process.Claim
	soon(t, func() (err error) { claim, err = m.run.Claim("w1"); return err })
	_, err := m.run.End(t.Context(), tr.Tree, process.EndConfig{})
	require.ErrorIs(t, err, process.ErrHeld)
	claim.Release()
	tr.requireDead(t)
}

func TestSnapshotCountsEachWorkersOwn(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	one := m.plant(t, "w1", "child=bare-daemon=say=grandchild;wait,say=child,wait say=leader wait", "leader", "child", "grandchild")
	two := m.plant(t, "w2", "say=leader title wait", "leader")
	var s process.Snapshot
	for range 2 { // it can be used again
		require.NoError(t, s.Take())
		require.ElementsMatch(t, []process.Identity{
			one.Leader, identityOf(t, one.pids["child"], one.Leader.BootID), identityOf(t, one.pids["grandchild"], one.Leader.BootID),
		}, s.Members(one.Leader))
		require.Equal(t, []process.Identity{two.Leader}, s.Members(two.Leader))
		three, single := s.Usage(one.Leader), s.Usage(two.Leader)
		require.Equal(t, 3, three.Processes)
		require.Equal(t, 1, single.Processes)
		require.Greater(t, three.RSS, single.RSS)
		require.Greater(t, single.RSS, int64(1<<20))
		require.GreaterOrEqual(t, three.Threads, 3)
	}
	_, err := m.run.End(t.Context(), two.Tree, process.EndConfig{})
	require.NoError(t, err)
	require.NoError(t, s.Take())
	require.Zero(t, s.Usage(two.Leader))
	require.Nil(t, s.Members(identityOf(t, os.Getpid(), one.Leader.BootID)))
}

// What is found from parent to child is what the whole table says, those whose parents have ended included.
func TestTakeForFindsWhatTakeFinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script        string
		says, members []string
	}{
		"alone":    {"say=leader wait", []string{"leader"}, []string{"leader"}},
		"children": {"child=child=say=c;wait,say=b,wait child=say=a,wait say=leader wait", []string{"leader", "a", "b", "c"}, []string{"leader", "a", "b", "c"}},
		"daemons": {
			"daemon=child=say=c;wait,say=b,wait child=bare-daemon=say=e;wait,say=d,wait say=leader wait",
			[]string{"leader", "b", "c", "d", "e"},
			[]string{"leader", "b", "c", "d", "e"},
		},
		"an orphan":                 {"child=child=say=a;wait,exit say=leader wait", []string{"leader", "a"}, []string{"leader", "a"}},
		"a daemon that is lost":     {"child=daemon=say=a;wait,exit say=leader wait", []string{"leader", "a"}, []string{"leader"}},
		"a first thread that ended": {"say=leader child=say=a,wait headless", []string{"leader", "a"}, []string{"leader", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.plant(t, "other", "child=say=child,wait say=other wait", "other", "child")
			tr := m.plant(t, "w1", tc.script, tc.says...)
			var want []process.Identity
			for _, member := range tc.members {
				want = append(want, identityOf(t, tr.pids[member], tr.Leader.BootID))
			}
			var all, own process.Snapshot
			require.Eventually(t, func() bool { // who was to end has
				return all.Take() == nil && all.Usage(tr.Leader).Processes == len(want)
			}, patience, time.Millisecond)
			require.ElementsMatch(t, want, all.Members(tr.Leader))
			for range 2 { // it can be used again
				require.NoError(t, own.TakeFor(tr.Leader))
				require.ElementsMatch(t, want, own.Members(tr.Leader))
				require.Equal(t, len(want), own.Usage(tr.Leader).Processes)
				require.Greater(t, own.Usage(tr.Leader).RSS, int64(1<<20))
			}
			_, err := m.run.End(t.Context(), tr.Tree, process.EndConfig{})
			require.NoError(t, err)
			require.NoError(t, own.TakeFor(tr.Leader))
			require.Nil(t, own.Members(tr.Leader))
		})
	}
}

func TestUsageTellsTheTime(t *testing.T) {
	t.Parallel()
	tr := newMachine(t).plant(t, "w1", "say=leader spin", "leader")
	require.Eventually(t, func() bool {
		var s process.Snapshot
		return s.Take() == nil && s.Usage(tr.Leader).CPU >= 50*time.Millisecond
	}, patience, 5*time.Millisecond)
}

func TestKilledIsNotOutOfMemory(t *testing.T) {
	t.Parallel()
	tr := newMachine(t).plant(t, "w1", "say=leader wait", "leader")
	require.NoError(t, unix.PidfdSendSignal(tr.pidfds["leader"], unix.SIGKILL, nil, 0))
	<-tr.p.Done()
	killed, known := process.OOMKilled(tr.Leader, tr.p.Exit().At)
	require.False(t, killed)
	if file, err := os.Open("/dev/kmsg"); err != nil {
		require.False(t, known)
	} else {
		require.NoError(t, file.Close())
	}
	tr.Leader.BootID = "another"
	_, known = process.OOMKilled(tr.Leader, time.Now())
	require.False(t, known)
}

// Whoever is in a hurry makes the grace shorter, however far it has passed, and nobody can make it longer again.
func TestEndCanBeHurried(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"before it begins": true, "while it waits": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newMachine(t).plant(t, "w1", "child=ignore,say=child,wait ignore say=leader wait", "leader", "child")
			var hurry process.Hurry
			var l told
			var left []time.Duration
			began := time.Now()
			soon := func() {
				hurry.By(began.Add(50 * time.Millisecond))
				hurry.By(began.Add(time.Hour))
			}
			if before {
				soon()
			}
			ending, err := tr.m.run.End(t.Context(), tr.Tree, process.EndConfig{
				Grace: time.Hour, Hurry: &hurry, Hurried: func(d time.Duration) { left = append(left, d) },
				Tell: func(signal string, processes int) {
					l.tell(signal, processes)
					if !before && len(l) == 1 {
						go soon()
					}
				},
			})
			require.NoError(t, err)
			require.Equal(t, "SIGKILL", ending.Signal)
			require.Equal(t, 2, ending.Processes)
			require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
			require.Less(t, ending.Took, 30*time.Minute)
			require.Len(t, left, 1)
			require.LessOrEqual(t, left[0], 50*time.Millisecond)
			require.Equal(t, "SIGTERM 1", l[0], "the leader first")
			require.Equal(t, "SIGKILL 2", l[len(l)-1])
			tr.requireDead(t)
		})
	}
}
