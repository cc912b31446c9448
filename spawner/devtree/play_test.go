//go:build unix

package devtree_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// patience bounds every wait of a test for something that must happen.
const patience = time.Minute

// TestMain lets the test binary play Cargo, below a link of that name: what it does stands in the file "play" of the directory
// that it is started in.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cargo" {
		syscall.Exit(playCargo(os.Args[1:])) // os.Exit takes a second under the race detector
	}
	leaktest.Main(m)
}

// playCargo notes that it ran and does line by line what the play says.
func playCargo(args []string) int {
	appendTo("runs", strings.Join(args, " ")+"\n")
	appendTo("environ", strings.Join(os.Environ(), "\n")+"\n")
	play, err := os.Open("play")
	if err != nil {
		return 99
	}
	defer play.Close()
	lines := bufio.NewScanner(play)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		act, what, _ := strings.Cut(lines.Text(), " ")
		switch act {
		case "say":
			fmt.Fprintln(os.Stderr, what)
		case "many":
			n, _ := strconv.Atoi(what)
			for i := range n {
				fmt.Printf("line %d\n", i)
			}
		case "make": // and name the sources
			makeProgram(args, what)
		case "write":
			path, text, _ := strings.Cut(what, " ")
			check(os.WriteFile(path, []byte(text), 0o600))
		case "await":
			appendTo("waits", strconv.Itoa(os.Getpid())+"\n")
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				if _, err := os.Stat(what); err == nil {
					break
				}
			}
		case "child": // that outlives its parent and holds its output open
			child := exec.Command("sleep", "60")
			child.Stdout = os.Stdout
			check(child.Start())
			appendTo("child", strconv.Itoa(child.Process.Pid)+"\n")
		case "exit":
			code, _ := strconv.Atoi(what)
			return code
		}
	}
	return 0
}

func makeProgram(args []string, sources string) {
	profile := "debug"
	if slices.Contains(args, "--release") {
		profile = "release"
	}
	name, target := args[slices.Index(args, "--bin")+1], args[slices.Index(args, "--target-dir")+1]
	path := filepath.Join(target, profile, name)
	check(os.MkdirAll(filepath.Dir(path), 0o700))
	check(os.WriteFile(path+".new", []byte("#!/bin/sh\n"), 0o700))
	check(os.Rename(path+".new", path))
	check(os.WriteFile(path+".d", []byte(path+": "+sources+"\n"), 0o600))
}

func appendTo(path, text string) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(err)
	_, err = file.WriteString(text)
	check(err)
	check(file.Close())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// tree is a development tree.
type tree struct {
	t    testing.TB
	root string
	env  []string
}

// newTree returns a workspace with the worker's crate, which depends on another, and a Cargo that the test binary plays.
func newTree(t testing.TB) *tree {
	t.Helper()
	tr := bareTree(t)
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Link(self, filepath.Join(bin, "cargo")))
	tr.env = []string{"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + bin, "NATS_CREDS=secret", "RBEE_HIVE_ID=gpu-1"}
	tr.plays("make")
	return tr
}

func bareTree(t testing.TB) *tree {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	tr := &tree{t: t, root: root}
	tr.write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"bin/*\"]\n[workspace.dependencies]\nhelper = { path = \"crates/with space\" }\n")
	tr.write("bin/30_cpu_llm_worker_rbee/Cargo.toml",
		"[package]\nname = \"cpu-llm-worker-rbee\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nhelper.workspace = true\n")
	tr.write("bin/30_cpu_llm_worker_rbee/src/main.rs", "fn main() { println!(\"{} {}\", helper::answer(), include_str!(\"../../../prompts/hello.txt\")); }\n")
	tr.write("crates/with space/Cargo.toml", "[package]\nname = \"helper\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
	tr.write("crates/with space/src/lib.rs", "pub fn answer() -> i32 { 42 }\n")
	tr.write("prompts/hello.txt", "hello")
	return tr
}

func (tr *tree) path(path string) string { return filepath.Join(tr.root, filepath.FromSlash(path)) }

// write writes a file as an editor does, by renaming.
func (tr *tree) write(path, content string) {
	tr.t.Helper()
	path = tr.path(path)
	require.NoError(tr.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(tr.t, os.WriteFile(path+"~", []byte(content), 0o644))
	require.NoError(tr.t, os.Rename(path+"~", path))
}

func (tr *tree) remove(path string) { require.NoError(tr.t, os.RemoveAll(tr.path(path))) }

func (tr *tree) read(path string) string {
	content, err := os.ReadFile(tr.path(path))
	if err != nil {
		return ""
	}
	return string(content)
}

// touch sets the time of a file, and that of nothing else.
func (tr *tree) touch(path string, at time.Time) {
	tr.t.Helper()
	require.NoError(tr.t, os.Chtimes(tr.path(path), at, at))
}

// plays says what Cargo does from now on.
func (tr *tree) plays(lines ...string) { tr.write("play", strings.Join(lines, "\n")+"\n") }

// runs returns the arguments of each run of Cargo so far.
func (tr *tree) runs() []string {
	return strings.Split(strings.TrimSuffix(tr.read("runs"), "\n"), "\n")
}

func (tr *tree) ran() int { return strings.Count(tr.read("runs"), "\n") }

func (tr *tree) updater(change func(*devtree.Options)) *devtree.Updater {
	tr.t.Helper()
	o := devtree.Options{Root: tr.root, Environ: tr.env}
	if change != nil {
		change(&o)
	}
	u, err := devtree.NewUpdater(o)
	require.NoError(tr.t, err)
	tr.t.Cleanup(u.Close)
	return u
}

// told is what an update told and came to.
type told struct {
	mu            sync.Mutex
	steps         []devtree.Step
	path, profile string
	err           error
}

func (o *told) step(s devtree.Step) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps = append(o.steps, s)
}

func (o *told) kinds() []devtree.Kind {
	o.mu.Lock()
	defer o.mu.Unlock()
	var kinds []devtree.Kind
	for _, s := range o.steps {
		kinds = append(kinds, s.Kind)
	}
	return kinds
}

func (o *told) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lines []string
	for _, s := range o.steps {
		if s.Kind == devtree.Line {
			lines = append(lines, s.Text)
		}
	}
	return lines
}

// verdict is the first one.
func (o *told) verdict() devtree.Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.steps[0].Verdict
}

func update(t testing.TB, u *devtree.Updater) *told {
	t.Helper()
	var out told
	out.path, out.profile, out.err = u.Update(t.Context(), worker, out.step)
	return &out
}

// requireBuild has the worker updated, and checks that this built it, because of what is said.
func (tr *tree) requireBuild(u *devtree.Updater, because string) *told {
	tr.t.Helper()
	before := tr.ran()
	out := update(tr.t, u)
	require.NoError(tr.t, out.err)
	require.Greater(tr.t, tr.ran(), before, "it was not built")
	require.Contains(tr.t, out.verdict().Because, because)
	return out
}

// requireFresh has the worker updated, and checks that nothing was built.
func (tr *tree) requireFresh(u *devtree.Updater) *told {
	tr.t.Helper()
	before := tr.ran()
	out := update(tr.t, u)
	require.NoError(tr.t, out.err)
	require.Equal(tr.t, before, tr.ran(), "it was built: %+v", out.verdict())
	require.Equal(tr.t, []devtree.Kind{devtree.Checked}, out.kinds())
	require.True(tr.t, out.verdict().Fresh)
	return out
}
