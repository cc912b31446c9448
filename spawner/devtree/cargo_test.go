//go:build unix

package devtree_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/devtree"
)

// The tests in this file run the real Cargo, offline and on a workspace without downloads. All that is ours is tested with one
// that the test binary plays, too; these show that Cargo is as that one says.

// realTree returns a tree that the machine's own Cargo builds. Where there is none, the test ends there and says so.
func realTree(t *testing.T) *tree {
	t.Helper()
	if _, err := exec.LookPath("cargo"); err != nil {
		t.Skip("DID NOT RUN: there is no cargo on this machine; install Rust to run it")
	}
	tr := bareTree(t)
	tr.env = append(os.Environ(), "CARGO_NET_OFFLINE=true")
	return tr
}

// output runs the program.
func output(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// build has the worker updated, and returns what it told and prints.
func (tr *tree) build(t *testing.T, u *devtree.Updater) (*told, string) {
	t.Helper()
	out := update(t, u)
	require.NoError(t, out.err)
	return out, output(t, out.path)
}

func TestRealCargo(t *testing.T) {
	t.Parallel()
	tr := realTree(t)
	u := tr.updater(nil)
	out, printed := tr.build(t, u)
	require.Equal(t, "42 hello\n", printed)
	require.Contains(t, out.kinds(), devtree.Built)
	require.Contains(t, out.lines(), "   Compiling helper v0.1.0 ("+tr.path("crates/with space")+")")

	fresh := func() {
		t.Helper()
		out := update(t, u)
		require.NoError(t, out.err)
		require.True(t, out.verdict().Fresh, out.verdict().Because)
	}
	fresh() // although it was Cargo that made Cargo.lock

	tr.write("crates/with space/src/lib.rs", "pub fn answer() -> i32 { 43 }\n")
	out, printed = tr.build(t, u)
	require.Equal(t, "43 hello\n", printed)
	require.Equal(t, tr.path("crates/with space/src/lib.rs"), out.verdict().File)

	tr.write("prompts/hello.txt", "bye") // only Cargo knows that it counts
	out, printed = tr.build(t, u)
	require.Equal(t, "43 bye\n", printed)
	require.Equal(t, tr.path("prompts/hello.txt"), out.verdict().File)

	tr.write(crateDir+"/README.md", "nothing to build, which only Cargo knows")
	program, err := os.Stat(out.path)
	require.NoError(t, err)
	tr.build(t, u)
	after, err := os.Stat(out.path)
	require.NoError(t, err)
	require.Equal(t, program.ModTime(), after.ModTime(), "Cargo had nothing to do")
	fresh()
	tr.touch(crateDir+"/src/main.rs", time.Now().Add(time.Hour)) // Cargo builds it each time that it is asked
	tr.build(t, u)
	fresh()

	tr.write(crateDir+"/src/main.rs", "fn main() { let x: i32 = \"a\"; }\n")
	err = update(t, u).err
	var failed *devtree.BuildError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 101, *failed.Code)
	require.Equal(t, "error[E0308]: mismatched types", failed.Lines[0])
	require.Contains(t, failed.Lines, `1 | fn main() { let x: i32 = "a"; }`)
	require.ErrorContains(t, err, "error[E0308]: mismatched types ("+crateDir+"/src/main.rs:1:26)")

	tr.write(crateDir+"/Cargo.toml", "[package\n")
	err = update(t, u).err
	require.ErrorAs(t, err, &failed)
	require.Contains(t, failed.Lines[0], "error: ")
}

// Who builds by hand is not built again, and who edits after that is.
func TestRealCargoByHand(t *testing.T) {
	t.Parallel()
	tr := realTree(t)
	tr.write(crateDir+"/build.rs", "fn main() { println!(\"cargo::rerun-if-changed=../../prompts/other.txt\"); }\n")
	tr.write("prompts/other.txt", "x")
	byHand := func() {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "cargo", "build", "--release", "--offline", "--bin", worker)
		cmd.Dir, cmd.Env = tr.root, append(tr.env, "CARGO_TARGET_DIR="+tr.path("target"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	byHand()
	u := tr.updater(nil)
	out := update(t, u)
	require.NoError(t, out.err)
	require.Equal(t, "release", out.profile)
	require.True(t, out.verdict().Fresh, out.verdict().Because)
	require.NoDirExists(t, filepath.Join(tr.root, "target", ".rbee"))

	tr.write("prompts/other.txt", "y") // the build script's
	out, _ = tr.build(t, u)
	require.Equal(t, tr.path("prompts/other.txt"), out.verdict().File)
	tr.write(crateDir+"/src/main.rs", "fn main() { println!(\"by hand\"); }\n")
	byHand()
	out, printed := tr.build(t, u)
	require.True(t, out.verdict().Fresh, out.verdict().Because)
	require.Equal(t, "by hand\n", printed)
}

// Cargo itself has one at a time build in a directory, and says so.
func TestRealCargoWaitsForAnother(t *testing.T) {
	t.Parallel()
	tr := realTree(t)
	tr.write(crateDir+"/build.rs", `fn main() {
    std::fs::write("../../begun", "").unwrap();
    while !std::path::Path::new("../../go").exists() { std::thread::sleep(std::time::Duration::from_millis(5)); }
}
`)
	cmd := exec.CommandContext(t.Context(), "cargo", "build", "--offline", "--bin", worker)
	cmd.Dir, cmd.Env = tr.root, append(tr.env, "CARGO_TARGET_DIR="+tr.path("target"))
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(tr.path("begun")); return err == nil }, patience, 5*time.Millisecond)
	u := tr.updater(nil)
	var out told
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _, out.err = u.Update(t.Context(), worker, out.step)
	}()
	require.Eventually(t, func() bool { return len(out.lines()) > 0 }, patience, 5*time.Millisecond)
	require.Contains(t, out.lines()[0], "Blocking waiting for file lock")
	tr.write("go", "")
	require.NoError(t, cmd.Wait())
	<-ended
	require.NoError(t, out.err)
}
