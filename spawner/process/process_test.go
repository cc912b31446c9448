//go:build linux

package process_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/spawner/process"
)

// The test binary plays the workers: see play.
const playAs = "PROCESS_TEST_PLAY"

func TestMain(m *testing.M) {
	if as := os.Getenv(playAs); as != "" {
		os.Exit(play(as))
	}
	leaktest.Main(m)
}

// play is a worker that says a line and then behaves as asked.
func play(as string) int {
	time.AfterFunc(2*time.Minute, func() { os.Exit(1) }) // should the test be killed before it can end its workers
	fmt.Println("hello", as)
	if script, ok := strings.CutPrefix(as, "tree "); ok {
		return playTree(script)
	}
	switch as {
	case "exit-3":
		return 3
	case "no-files": // looks at its parent without a descriptor to do it by
		parent := process.Identity{PID: os.Getppid(), StartTicks: 1, BootID: os.Getenv("BOOT_ID")}
		if parent.Alive() {
			return 1 // its start was another
		}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: 0}) != nil || !parent.Alive() {
			return 2
		}
		if root := os.Geteuid() == 0; root && (syscall.Setuid(65534) != nil || parent.Alive()) {
			return 3 // it is another user's now, and no worker of this one's
		}
		parent.PID = 1 << 30
		if parent.Alive() {
			return 4
		}
		return 0
	case "close-all":
		_, _ = unix.Close(3), unix.Close(4) // what it inherited; the runtime's own come behind
		fmt.Println("closed")
	case "print-env":
		for _, entry := range os.Environ() {
			fmt.Println("env", entry)
		}
		fmt.Println("end")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return 0
}

// patience bounds every wait of a test for something that must happen.
const patience = time.Minute

// machine is a run directory with ports of its own.
type machine struct {
	run     *process.RunDir
	ports   *process.Ports
	watcher *process.Watcher
	dir     string
}

func newMachine(t *testing.T) machine {
	t.Helper()
	dir := t.TempDir()
	first, last := porttest.Lease(t, 100)
	run, err := process.OpenRunDir(filepath.Join(dir, "run"))
	require.NoError(t, err)
	watcher := process.NewWatcher()
	t.Cleanup(watcher.Close)
	return machine{run: run, ports: run.Ports(process.PortRange{First: first, Last: last}), watcher: watcher, dir: dir}
}

func (m machine) command(t *testing.T, as string) process.Command {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return process.Command{Path: self, Env: []string{playAs + "=" + as}, Dir: "/", LogPath: filepath.Join(m.dir, as+".log")}
}

// start starts a worker that is dead when the test ends, and waits for it.
func (m machine) start(t *testing.T, worker, as string) *process.Process {
	t.Helper()
	p, _ := m.launch(t, worker, as)
	m.watcher.Watch(p, func(process.Exit) {})
	t.Cleanup(func() {
		_ = syscall.Kill(p.Identity.PID, syscall.SIGKILL)
		<-p.Done()
	})
	return p
}

// launch starts a worker that is killed when the test ends, and lets go of its locks as a hive does. It also returns the
// worker's port.
func (m machine) launch(t *testing.T, worker, as string) (*process.Process, int) {
	t.Helper()
	claim := m.claim(t, worker)
	defer claim.Release()
	port := m.take(t, 0)
	defer port.Release()
	p, err := process.Start(m.command(t, as), claim, port)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Kill(p.Identity.PID, syscall.SIGKILL) })
	return p, port.Number
}

// claim takes the worker's lock as soon as it is free. A child that another test forks in this moment has a copy of every
// descriptor until it executes its program.
func (m machine) claim(t *testing.T, worker string) *process.Claim {
	t.Helper()
	var claim *process.Claim
	soon(t, func() (err error) { claim, err = m.run.Claim(worker); return err })
	return claim
}

// take takes the port as soon as it is free.
func (m machine) take(t *testing.T, number int) *process.Port {
	t.Helper()
	var port *process.Port
	soon(t, func() (err error) { port, err = m.ports.Take(number); return err })
	return port
}

// soon requires that act succeeds as soon as nobody holds what it takes.
func soon(t *testing.T, act func() error) {
	t.Helper()
	var err error
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(time.Millisecond) {
		if err = act(); !errors.Is(err, process.ErrHeld) {
			break
		}
	}
	require.NoError(t, err)
}

// awaitLine waits until the log holds the line.
func awaitLine(t *testing.T, path, line string) string {
	t.Helper()
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(data), line+"\n")
	}, patience, time.Millisecond)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestStartedWorkerHoldsItsLocks(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.start(t, "w1", "live")
	_, err := m.run.Claim("w1")
	require.ErrorIs(t, err, process.ErrHeld)
	require.True(t, p.Identity.Alive())

	require.NoError(t, syscall.Kill(p.Identity.PID, syscall.SIGKILL))
	<-p.Done()
	require.Equal(t, "SIGKILL", p.Exit().Signal)
	require.False(t, p.Identity.Alive())
	claim := m.claim(t, "w1")
	require.False(t, claim.Fresh())
	claim.Release()
}

// What is worked out from the clock must be what the kernel says.
func TestStartTimeIsTheKernels(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for i := range 50 {
		p := m.start(t, "w"+strconv.Itoa(i), "live")
		require.True(t, p.Identity.Alive(), "start %d ticks", p.StartTicks)
	}
}

func TestPortIsTheWorkersUntilItEnds(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p, number := m.launch(t, "w1", "live")
	_, err := m.ports.Take(number)
	require.ErrorIs(t, err, process.ErrHeld, "the worker has not bound it, and it is the worker's all the same")
	require.NoError(t, syscall.Kill(p.Identity.PID, syscall.SIGKILL))
	m.watcher.Watch(p, func(process.Exit) {})
	<-p.Done()
	port := m.take(t, number)
	port.Release()
}

func TestWatcherTellsHowAProcessEnded(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.start(t, "w1", "exit-3")
	<-p.Done()
	require.Equal(t, 3, p.Exit().Code)
	require.Equal(t, "exited with code 3", p.Exit().String())
	require.ErrorIs(t, syscall.Kill(p.Identity.PID, 0), syscall.ESRCH, "a process that was waited for is no zombie")
}

func TestCloseEndsTheWatchAndNotTheProcess(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p, _ := m.launch(t, "w1", "live")
	first := process.NewWatcher()
	first.Watch(p, func(process.Exit) { t.Error("it told an end behind its own") })
	first.Close()
	require.True(t, p.Identity.Alive())

	again, err := process.Find(p.Identity)
	require.NoError(t, err)
	require.WithinDuration(t, p.At, again.At, time.Second)
	told := make(chan process.Exit, 1)
	m.watcher.Watch(again, func(exit process.Exit) { told <- exit })
	require.NoError(t, syscall.Kill(p.Identity.PID, syscall.SIGKILL))
	require.Equal(t, "SIGKILL", (<-told).Signal)
	require.ErrorIs(t, syscall.Kill(p.Identity.PID, 0), syscall.ESRCH, "it was a child all the time, and is reaped")
	_, err = process.Find(p.Identity)
	require.ErrorIs(t, err, process.ErrGone)
}

// Signals do not count: one may stand for many children, and may come before anyone watches.
func TestWatcherMissesNoEnd(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	const workers = 40
	told := make(chan string, workers)
	var pids []int
	for i := range workers {
		name := "w" + strconv.Itoa(i)
		p, _ := m.launch(t, name, "live")
		pids = append(pids, p.PID)
		if i%2 == 0 { // ended before it is watched
			require.NoError(t, syscall.Kill(p.PID, syscall.SIGKILL))
		}
		m.watcher.Watch(p, func(exit process.Exit) { told <- exit.Signal })
	}
	for i, pid := range pids {
		if i%2 != 0 {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	for range workers {
		require.Equal(t, "SIGKILL", <-told)
	}
	for _, pid := range pids {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
}

// Two spawners in one process, and code that starts processes of its own, leave each other's children alone.
func TestWatcherReapsNobodyElsesChild(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	other := process.NewWatcher()
	defer other.Close()
	p := m.start(t, "w1", "exit-3")
	<-p.Done()
	require.Equal(t, 3, p.Exit().Code)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = []string{playAs + "=exit-3"}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	require.Equal(t, 3, exit.ExitCode())
}

func TestFindRefusesAnotherProcessWithThePID(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.start(t, "w1", "live")
	for name, forge := range map[string]func(*process.Identity){
		"start":   func(id *process.Identity) { id.StartTicks-- },
		"boot":    func(id *process.Identity) { id.BootID = "another" },
		"group":   func(id *process.Identity) { id.PID = 0 },
		"init":    func(id *process.Identity) { id.PID = 1 },
		"all":     func(id *process.Identity) { id.PID = -1 },
		"foreign": func(id *process.Identity) { id.PID = os.Getpid() },
	} {
		id := p.Identity
		forge(&id)
		_, err := process.Find(id)
		require.ErrorIs(t, err, process.ErrGone, name)
	}
}

func TestWorkerThatClosesItsDescriptorsIsStillAlive(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.start(t, "w1", "close-all")
	awaitLine(t, filepath.Join(m.dir, "close-all.log"), "closed")
	claim := m.claim(t, "w1")
	claim.Release()
	require.True(t, p.Identity.Alive(), "pid and start time are the second proof")
}

func TestEnvironmentIsExactlyWhatIsGiven(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "secret")
	m := newMachine(t)
	m.start(t, "w1", "print-env")
	out := awaitLine(t, filepath.Join(m.dir, "print-env.log"), "end")
	for line := range strings.Lines(out) {
		if entry, ok := strings.CutPrefix(line, "env "); ok {
			require.Equal(t, playAs+"=print-env\n", entry)
		}
	}
}

func TestFindHolder(t *testing.T) {
	t.Parallel()
	m, other := newMachine(t), newMachine(t)
	p := m.start(t, "twin", "twin")
	other.start(t, "twin", "twin")
	found, err := m.run.FindHolder("twin", "", playAs+"=twin")
	require.NoError(t, err)
	require.Equal(t, p.Identity, found.Identity, "its namesake of another run directory is not meant")
	require.WithinDuration(t, p.At, found.At, time.Second)
	for _, not := range [][]string{{playAs + "=nobody"}, {playAs + "=twin", "OF_ANOTHER_JOB=yes"}} {
		_, err = m.run.FindHolder("twin", "", not...)
		require.ErrorIs(t, err, process.ErrGone)
	}
}

func TestRecordSurvivesACutShortStart(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	claim := m.claim(t, "w1")
	require.True(t, claim.Fresh())
	require.NoError(t, claim.Prepare([]byte(`{"n":7}`)))
	type record struct {
		Process process.Started
		N       int
	}
	var got record
	require.ErrorIs(t, m.run.ReadRecord("w1", &got), fs.ErrNotExist)
	require.NoError(t, m.run.ReadStarting("w1", &got))
	require.Equal(t, record{N: 7}, got)
	started := process.Started{Identity: process.Identity{PID: 12345, StartTicks: 6, BootID: "b"}, At: time.Now().UTC().Truncate(0)}
	require.NoError(t, claim.Commit(started))
	require.NoError(t, m.run.ReadStarting("w1", &got))
	require.Equal(t, record{Process: started, N: 7}, got)
	require.ErrorIs(t, m.run.ReadRecord("w1", &got), fs.ErrNotExist, "its job is not answered")
	require.NoError(t, m.run.Publish("w1"))
	require.NoError(t, m.run.Publish("w1"))
	require.NoError(t, m.run.ReadRecord("w1", &got))
	require.Equal(t, record{Process: started, N: 7}, got)
	claim.Release()
	claim = m.claim(t, "w1")
	require.NoError(t, claim.Replace(started, []byte(`{"n":8}`)))
	require.NoError(t, m.run.ReadRecord("w1", &got))
	require.Equal(t, record{Process: started, N: 8}, got)
	claim.Release()
	claim = m.claim(t, "w1")
	require.NoError(t, claim.Prepare([]byte(`{"n":9}`)))
	require.ErrorIs(t, m.run.ReadRecord("w1", &got), fs.ErrNotExist, "a new start takes the old record away")
	claim.Abandon()
	require.Error(t, m.run.ReadStarting("w1", &got))
	ids, err := m.run.Workers()
	require.NoError(t, err)
	require.Equal(t, []string{"w1"}, ids)
}

func TestAbandonLeavesNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	claim := m.claim(t, "w1")
	require.NoError(t, claim.Prepare([]byte(`{"n":1}`)))
	claim.Abandon()
	ids, err := m.run.Workers()
	require.NoError(t, err)
	require.Empty(t, ids)
}

func TestSweepKeepsTheNewestAndTheLiving(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.start(t, "living", "live")
	for i := range 6 {
		claim := m.claim(t, "w"+strconv.Itoa(i))
		require.NoError(t, claim.Prepare([]byte(`{"n":`+strconv.Itoa(i)+`}`)))
		require.NoError(t, m.run.Publish("w"+strconv.Itoa(i)))
		claim.Release()
		at := time.Unix(int64(1000+i), 0)
		require.NoError(t, os.Chtimes(filepath.Join(m.run.Path(), "workers", "w"+strconv.Itoa(i)), at, at))
	}
	removed := 0
	watched := func(worker string) bool { return worker == "w1" }
	require.Eventually(t, func() bool {
		n, err := m.run.Sweep(2, math.MaxInt64, watched, func(worker string) bool { return worker == "w0" })
		removed += n
		return err != nil || removed == 3
	}, patience, time.Millisecond)
	ids, err := m.run.Workers()
	require.NoError(t, err)
	require.Equal(t, []string{"living", "w0", "w1", "w5"}, ids)
}

// What a crash left in the middle of a write goes with the rest, and what does not belong there stays and keeps nothing else.
func TestSweepGoesOnBehindADirectoryThatStays(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for i := range 4 {
		worker := "w" + strconv.Itoa(i)
		claim := m.claim(t, worker)
		require.NoError(t, claim.Prepare([]byte(`{"n":1}`)))
		claim.Release()
		dir := filepath.Join(m.run.Path(), "workers", worker)
		for _, name := range []string{"worker.json", "exit.json", "exit.json.new", "failure.json", "failure.json.new"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		}
		if i == 0 {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "strange"), 0o700))
		}
		at := time.Unix(int64(1000+i), 0)
		require.NoError(t, os.Chtimes(dir, at, at))
	}
	nobody := func(string) bool { return false }
	removed, err := m.run.Sweep(1, math.MaxInt64, nobody, nobody)
	require.ErrorContains(t, err, "w0")
	require.Equal(t, 2, removed)
	ids, err := m.run.Workers()
	require.NoError(t, err)
	require.Equal(t, []string{"w0", "w3"}, ids)
}

// Many starters fight for one worker, each giving up what it won: at no time may two have it.
func TestClaimIsExclusiveWhileOthersRemoveIt(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	var holders [1]int
	gate := make(chan struct{}, 1)
	done := make(chan error)
	for range 8 {
		go func() {
			for range 200 {
				claim, err := m.run.Claim("w1")
				if errors.Is(err, process.ErrHeld) {
					continue
				}
				if err != nil {
					done <- err
					return
				}
				select {
				case gate <- struct{}{}:
				default:
					done <- errors.New("two hold the claim")
					return
				}
				holders[0]++
				<-gate
				claim.Abandon()
			}
			done <- nil
		}()
	}
	for range 8 {
		require.NoError(t, <-done)
	}
	require.Positive(t, holders[0])
}

func TestTakenPorts(t *testing.T) {
	t.Parallel()
	listeners := map[string]string{"loopback": "127.0.0.1:0", "every address": "0.0.0.0:0", "both families": "[::]:0"}
	for name, address := range listeners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			listener, err := net.Listen("tcp", address)
			require.NoError(t, err)
			defer func() { _ = listener.Close() }()
			number := listener.Addr().(*net.TCPAddr).Port
			_, err = m.ports.Take(number)
			require.ErrorIs(t, err, process.ErrHeld)
			holder, ok := process.Listener(number)
			require.True(t, ok)
			require.Equal(t, os.Getpid(), holder.PID)
			_, err = m.run.Ports(process.PortRange{First: number, Last: number}).Take(0)
			require.ErrorIs(t, err, process.ErrNoFreePort)
		})
	}
}

func TestListeningProvesWhoListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port
	listening := process.ReadListening(nil)
	require.True(t, listening.On(port))
	by, known := listening.By(port, []process.Identity{{PID: os.Getpid()}})
	require.True(t, by)
	require.True(t, known)
	m := newMachine(t)
	p := m.start(t, "w1", "live")
	by, known = listening.By(port, []process.Identity{p.Identity})
	require.False(t, by, "another process answers on the port")
	require.True(t, known)
}

func TestPortRange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]process.PortRange{"9001-9999": {First: 9001, Last: 9999}, "8080": {First: 8080, Last: 8080}} {
		got, err := process.ParsePortRange(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "-", "9001-", "0-10", "10-9", "1-65536", "a-b"} {
		_, err := process.ParsePortRange(text)
		require.ErrorContains(t, err, "9001-9999", text)
	}
	require.Equal(t, "9001-9999", process.PortRange{}.String())
}

func TestRunDirThatOthersCanWriteIsRefused(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.Mkdir(open, 0o700))
	require.NoError(t, os.Chmod(open, 0o777))
	_, err := process.OpenRunDir(open)
	require.ErrorContains(t, err, "chmod 0700")

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(t.TempDir(), link))
	_, err = process.OpenRunDir(link)
	require.ErrorContains(t, err, "not a directory")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = process.OpenRunDir(file)
	require.Error(t, err)
}

// A log that is a symbolic link would let whoever can write the log directory have the worker's output anywhere.
func TestLogIsNoLink(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	cmd := m.command(t, "live")
	require.NoError(t, os.Symlink("/dev/full", cmd.LogPath))
	claim := m.claim(t, "w1")
	defer claim.Release()
	port := m.take(t, 0)
	defer port.Release()
	_, err := process.Start(cmd, claim, port)
	var file *fs.PathError
	require.ErrorAs(t, err, &file)
}

func TestManyWorkersNeedNoThreads(t *testing.T) {
	m := newMachine(t)
	before := threads(t)
	for i := range 40 {
		m.start(t, "w"+strconv.Itoa(i), "live")
	}
	require.Less(t, threads(t)-before, 20, "a thread per worker would be 40")
}

func threads(t *testing.T) int {
	t.Helper()
	file, err := os.Open("/proc/self/status")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "Threads:"); ok {
			count, err := strconv.Atoi(strings.TrimSpace(n))
			require.NoError(t, err)
			return count
		}
	}
	t.Fatal("no count of threads")
	return 0
}

// A worker that lets go of its locks before it listens keeps its port all the same.
func TestPortOfAWorkerThatLetGoOfItsLock(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p, number := m.launch(t, "w1", "close-all")
	m.watcher.Watch(p, func(process.Exit) {})
	awaitLine(t, filepath.Join(m.dir, "close-all.log"), "closed")
	m.take(t, number).Release() // nobody has its lock, and nobody listens
	require.NoError(t, m.run.GivePort(number, p.Identity))
	_, err := m.ports.Take(number)
	require.ErrorIs(t, err, process.ErrHeld)
	require.NoError(t, syscall.Kill(p.PID, syscall.SIGKILL))
	<-p.Done()
	m.take(t, number).Release()
}

// Whoever else writes to a log, and whatever is in it: a worker writes behind the end.
func TestLogIsAppendedTo(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	path := m.command(t, "exit-3").LogPath
	require.NoError(t, os.WriteFile(path, []byte("a line of an earlier attempt\n"), 0o600))
	<-m.start(t, "w1", "exit-3").Done()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "a line of an earlier attempt\nhello exit-3\n", string(data))
}

// Who cannot be looked at is not said to be dead.
func TestAliveWithoutDescriptors(t *testing.T) {
	t.Parallel()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = []string{playAs + "=no-files", "BOOT_ID=" + strings.TrimSpace(string(boot)), endAtOnce}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
