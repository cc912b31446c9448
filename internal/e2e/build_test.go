//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// fakeCargo does with the workspace of these tests what Cargo does, as far as a hive sees it: it notes the one word that
// the helper's source is about, or complains about it, or is at work until it is killed if the worker has a build script.
const fakeCargo = `#!/bin/sh
while [ $# -gt 0 ]; do
	case $1 in
	--bin) name=$2 ;;
	--target-dir) target=$2 ;;
	esac
	shift
done
if [ -f bin/30_cpu_llm_worker_rbee/build.rs ]; then
	: >begun
	sleep 120 &
	sleep 120
fi
echo "   Compiling helper v0.1.0 ($PWD/crates/helper)" >&2
word=$(sed -n 's/.*WORD: &str = "\(.*\)";.*/\1/p' crates/helper/src/lib.rs)
if [ -z "$word" ]; then
	printf '%s\n' 'error[E0308]: mismatched types' ' --> crates/helper/src/lib.rs:1:24' 'error: could not compile helper' >&2
	exit 101
fi
mkdir -p "$target/debug"
printf '#!/bin/sh\necho %s\nexec sleep 120\n' "$word" >"$target/debug/$name.new"
chmod 755 "$target/debug/$name.new"
mv "$target/debug/$name.new" "$target/debug/$name"
echo "$target/debug/$name: $PWD/crates/helper/src/lib.rs $PWD/bin/30_cpu_llm_worker_rbee/src/main.rs" >"$target/debug/$name.d"
`

// forEachCargo runs test with a Cargo of the tests and with the machine's own; where that is missing it says so. The
// variables have a hive build in the workspace on m.
func forEachCargo(t *testing.T, test func(t *testing.T, m *machine, env []string)) {
	t.Run("played", func(t *testing.T) {
		t.Parallel()
		m := newBuildMachine(t)
		bin := m.path("cargo")
		require.NoError(t, os.Mkdir(bin, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(bin, "cargo"), []byte(fakeCargo), 0o755))
		test(t, m, buildsIn(m, bin))
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		// The toolchain itself: what rustup puts into the PATH depends on the home directory.
		sysroot, err := exec.CommandContext(t.Context(), "rustc", "--print", "sysroot").Output()
		bin := filepath.Join(strings.TrimSpace(string(sysroot)), "bin")
		if _, missing := os.Stat(filepath.Join(bin, "cargo")); err != nil || missing != nil {
			t.Skip("DID NOT RUN: there is no cargo on this machine; install Rust to run it")
		}
		m := newBuildMachine(t)
		test(t, m, buildsIn(m, bin))
	})
}

func buildsIn(m *machine, cargo string) []string {
	return []string{
		"PATH=" + cargo + ":" + os.Getenv("PATH"), "CARGO_NET_OFFLINE=true", "RBEE_AUTO_UPDATE=true", "RBEE_DEV_ROOT=" + m.path("src"),
	}
}

// newBuildMachine returns a machine with an empty catalog and a Cargo workspace, in which the worker depends on a helper by
// path. The worker says the helper's word and stays.
func newBuildMachine(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t, natstest.Server(t).URL(), "gpu-1", 40)
	require.NoError(t, os.RemoveAll(m.path("catalog")))
	m.write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"bin/*\"]\n")
	m.write(workerCrate+"/Cargo.toml",
		"[package]\nname = \""+cpuWorker+"\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nhelper = { path = \"../../crates/helper\" }\n")
	m.write(workerCrate+"/src/main.rs",
		"fn main() { println!(\"{}\", helper::WORD); std::thread::sleep(std::time::Duration::from_secs(120)); }\n")
	m.write("crates/helper/Cargo.toml", "[package]\nname = \"helper\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
	m.write(helperSource, `pub const WORD: &str = "one";`)
	return m
}

const (
	workerCrate  = "bin/30_cpu_llm_worker_rbee"
	helperSource = "crates/helper/src/lib.rs"
)

// write writes a file of the workspace.
func (m *machine) write(path, text string) {
	m.t.Helper()
	path = m.path("src", path)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(m.t, os.WriteFile(path, []byte(text), 0o644))
}

// buildStory sends a job that plays no part but to start the worker, and returns its answer and what was told of builds. The
// reply and the kept result are the same.
func (w *tap) buildStory(id string) (a answer, told []string) {
	w.t.Helper()
	reply := w.send("gpu-1", jobFor(id, "m"))
	for _, e := range w.story("gpu-1", id) {
		if e.Action == "auto_update" || e.Action == "auto_rebuild" {
			told = append(told, e.Action+" "+e.Human)
		}
	}
	result := w.next("rbee.v1.result.gpu-1." + id)
	answered := w.next(reply)
	require.Equal(w.t, result.Data, answered.Data)
	a, err := answerFrom(answered)
	require.NoError(w.t, err)
	return a, told
}

// requireSays requires that the worker of a is the one that was built, and that it said word and nothing else.
func (m *machine) requireSays(a answer, word string) {
	m.t.Helper()
	require.Nil(m.t, a.Error)
	require.Equal(m.t, m.path("src", "target", "debug", cpuWorker), a.BinaryPath)
	require.Equal(m.t, "debug", a.Source)
	require.True(m.t, alive(a.PID))
	require.Eventually(m.t, func() bool {
		log, err := os.ReadFile(a.LogPath)
		return err == nil && string(log) == word+"\n"
	}, patience, 5*time.Millisecond)
}

// From an edit to the worker that runs it: what is missing or out of date is built by the job that wants it, what is up to
// date is not, and what does not compile is told with the compiler's own lines.
func TestWhatWasEditedIsBuiltAndRuns(t *testing.T) {
	t.Parallel()
	forEachCargo(t, func(t *testing.T, m *machine, env []string) {
		m.serve(env...)
		wire := listen(t, m.server, "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
		program := m.path("src", "target", "debug", cpuWorker)

		first, told := wire.buildStory("first")
		m.requireSays(first, "one")
		require.Equal(t, "auto_update Out of date: "+program+" has not been built", told[0])
		require.Contains(t, told[1], "auto_rebuild 🔨 Building "+cpuWorker+": cargo build --manifest-path "+m.path("src", workerCrate, "Cargo.toml")+" --bin "+cpuWorker)
		require.Contains(t, told, "auto_rebuild Build:    Compiling helper v0.1.0 ("+m.path("src", "crates/helper")+")")
		require.Contains(t, told[len(told)-1], "auto_rebuild ✅ Built "+cpuWorker+" in ")

		again, told := wire.buildStory("again")
		m.requireSays(again, "one")
		require.Len(t, told, 1)
		require.Contains(t, told[0], "auto_update Up to date: "+program)

		m.write(helperSource, `pub const WORD: &str = "two";`)
		second, told := wire.buildStory("second")
		m.requireSays(second, "two")
		require.Equal(t, "auto_update Out of date: "+program+" was made before "+helperSource+" changed", told[0])
		require.True(t, alive(first.PID), "what runs already goes on")

		m.write(helperSource, `pub const WORD: &str = 1;`)
		broken, told := wire.buildStory("broken")
		require.NotNil(t, broken.Error)
		require.Equal(t, "build_failed", broken.Error.Code)
		require.Contains(t, broken.Error.Message, "error[E0308]: mismatched types ("+helperSource+":1:24)")
		require.Contains(t, broken.Error.LogTail, "error[E0308]: mismatched types")
		require.Equal(t, 101, *broken.Error.ExitCode)
		require.Equal(t, "cargo", broken.Error.Command[0])
		require.FileExists(t, broken.Error.LogPath)
		require.Contains(t, told, "auto_rebuild Build: error[E0308]: mismatched types")

		m.write(helperSource, `pub const WORD: &str = "three";`)
		mended, _ := wire.buildStory("broken") // the same job
		m.requireSays(mended, "three")
	})
}

// A hive that is told to stop ends the build that its jobs wait for, with all that it started, and leaves it to the next hive.
func TestAHiveThatStopsEndsItsBuilds(t *testing.T) {
	t.Parallel()
	forEachCargo(t, func(t *testing.T, m *machine, env []string) {
		m.write(workerCrate+"/build.rs", `fn main() {
    std::fs::write("../../begun", "").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(120));
}
`)
		h := m.serve(append(env, "RBEE_DRAIN_TIMEOUT=10ms")...)
		wire := listen(t, m.server, "rbee.v1.narration.>", "reply.>")
		reply := wire.send("gpu-1", jobFor("job-1", "m"))
		require.Eventually(t, func() bool { _, err := os.Stat(m.path("src", "begun")); return err == nil }, patience, 5*time.Millisecond)
		require.NotEmpty(t, m.below(h.PID()), "the build is at work")

		h.Signal(syscall.SIGTERM)
		wire.failure(reply, "hive_draining", "503")
		code, said := h.Exit()
		require.Zero(t, code, said)
		require.Empty(t, m.below(os.Getpid()), "nothing of the build is left")
		lock, err := os.Open(m.path("src", "target", ".rbee", cpuWorker+".lock"))
		require.NoError(t, err)
		require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), "nobody builds")
		require.NoError(t, lock.Close())

		require.NoError(t, os.Remove(m.path("src", workerCrate, "build.rs")))
		m.serve(env...)
		a := wire.answer(wire.send("gpu-1", jobFor("job-1", "m")))
		m.requireSays(a, "one")
	})
}

// below returns the living processes on the machine that descend from the process, as "pid name".
func (m *machine) below(pid int) (found []string) {
	for _, p := range children(pid) {
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid)); err == nil && m.holds(cwd) && p.state != 'Z' {
			found = append(found, p.String())
		}
		found = append(found, m.below(p.pid)...)
	}
	return found
}

// All who wait for one build start within the one slot that there is, each job once, however often it was sent.
func TestAllWhoWaitForABuildGetTheirWorkers(t *testing.T) {
	t.Parallel()
	const jobs = 8
	m := newBuildMachine(t)
	m.write("cargo", fakeCargo)
	require.NoError(t, os.Chmod(m.path("src", "cargo"), 0o755))
	js := streams(t, natstest.Dial(t, m.server))
	m.serve(append(buildsIn(m, m.path("src")), "RBEE_MAX_JOBS=1", "RBEE_QUEUE=required")...)
	wire := listen(t, m.server, "reply.>", "rbee.v1.result.gpu-1.queued")
	replies := make(map[string][]string)
	for i := range jobs {
		id := fmt.Sprintf("job-%d", i)
		for range 2 {
			replies[id] = append(replies[id], wire.send("gpu-1", jobFor(id, "m")))
		}
	}
	queue(t, js, "queued", "m")
	pids := make(map[int]bool)
	for _, subjects := range replies {
		first, second := wire.answer(subjects[0]), wire.answer(subjects[1])
		m.requireSays(first, "one")
		require.Nil(t, second.Error)
		require.Equal(t, first.PID, second.PID)
		require.NotEqual(t, first.Replayed, second.Replayed)
		pids[first.PID] = true
	}
	m.requireSays(wire.answer("rbee.v1.result.gpu-1.queued"), "one")
	awaitNoJob(t, js)
	require.Len(t, pids, jobs)
}
