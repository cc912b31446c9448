//go:build unix

package devtree_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/devtree"
)

const crateDir = "bin/30_cpu_llm_worker_rbee"

func TestUpdateBuildsWhatIsMissing(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("say    Compiling helper v0.1.0", "", "make", "say     Finished")
	u := tr.updater(nil)
	out := tr.requireBuild(u, "has not been built")
	require.Equal(t, tr.path("target/debug/"+worker), out.path)
	require.Equal(t, "debug", out.profile)
	require.Equal(t, []devtree.Kind{devtree.Checked, devtree.Started, devtree.Line, devtree.Line, devtree.Built}, out.kinds())
	require.Equal(t, []string{"   Compiling helper v0.1.0", "    Finished"}, out.lines())
	want := fmt.Sprintf("build --manifest-path %s --bin %s --target-dir %s", tr.path(crateDir+"/Cargo.toml"), worker, tr.path("target"))
	require.Equal(t, []string{want}, tr.runs())
	require.Equal(t, "   Compiling helper v0.1.0\n    Finished\n", tr.read("target/.rbee/"+worker+".log"))
	require.Equal(t, "*\n", tr.read("target/.rbee/.gitignore"))
	tr.requireFresh(u)
	tr.requireFresh(tr.updater(nil))
}

// What a hive knows does not reach what it builds.
func TestUpdateKeepsSecrets(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.requireBuild(tr.updater(nil), "")
	environ := tr.read("environ")
	require.NotContains(t, environ, "NATS_")
	require.NotContains(t, environ, "RBEE_")
	require.Contains(t, environ, "HOME=")
	require.Contains(t, environ, "CARGO_TERM_COLOR=never\n")
}

// Each change is built once, and then no more, although Cargo leaves the program as it is.
func TestUpdateSeesEachChange(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		change  func(tr *tree)
		because string
	}{
		"a source":                  {func(tr *tree) { tr.write(crateDir+"/src/main.rs", "fn main() {}\n") }, "main.rs changed"},
		"a new source":              {func(tr *tree) { tr.write(crateDir+"/src/deep/new.rs", "") }, "new.rs came"},
		"a deleted source":          {func(tr *tree) { tr.remove(crateDir + "/src/other.rs") }, "other.rs, which is gone"},
		"a module called target":    {func(tr *tree) { tr.write(crateDir+"/src/target/mod.rs", "") }, "mod.rs came"},
		"a dependency's source":     {func(tr *tree) { tr.write("crates/with space/src/lib.rs", "") }, "lib.rs changed"},
		"a dependency's Cargo.toml": {func(tr *tree) { tr.write("crates/with space/Cargo.toml", "[package]\nname = \"helper\"\n") }, "Cargo.toml changed"},
		"a dependency by target":    {func(tr *tree) { tr.write("crates/os/src/lib.rs", "x") }, "os/src/lib.rs changed"},
		"a dependency of the build": {func(tr *tree) { tr.write("crates/build/src/lib.rs", "x") }, "build/src/lib.rs changed"},
		"one that is used by one":   {func(tr *tree) { tr.write("crates/deep/src/lib.rs", "x") }, "deep/src/lib.rs changed"},
		"the workspace":             {func(tr *tree) { tr.write("Cargo.toml", tr.read("Cargo.toml")+"\n[profile.dev]\nopt-level = 1\n") }, "Cargo.toml changed"},
		"Cargo.lock":                {func(tr *tree) { tr.write("Cargo.lock", "version = 4\n") }, "Cargo.lock changed"},
		"build.rs":                  {func(tr *tree) { tr.write(crateDir+"/build.rs", "fn main() {}\n") }, "build.rs came"},
		".cargo/config.toml":        {func(tr *tree) { tr.write(".cargo/config.toml", "[env]\n") }, "config.toml changed"},
		"rust-toolchain":            {func(tr *tree) { tr.write("rust-toolchain", "stable\n") }, "rust-toolchain changed"},
		"a file that is included":   {func(tr *tree) { tr.write("prompts/hello.txt", "bye") }, "hello.txt changed"},
		"one with a space":          {func(tr *tree) { tr.write("prompts/two words.txt", "bye") }, "two words.txt changed"},
		"one that is missing":       {func(tr *tree) { tr.remove("prompts/hello.txt") }, "hello.txt, which is gone"},
		"a linked source":           {func(tr *tree) { tr.write("elsewhere/linked.rs", "y") }, "linked.rs changed"},
		"the time alone":            {func(tr *tree) { tr.touch(crateDir+"/src/main.rs", time.Now()) }, "main.rs changed"},
		"a time long ago":           {func(tr *tree) { tr.touch(crateDir+"/src/main.rs", time.Now().Add(-24*time.Hour)) }, "main.rs changed"},
		"a time to come":            {func(tr *tree) { tr.touch(crateDir+"/src/main.rs", time.Now().Add(time.Hour)) }, "main.rs changed"},
		"the program itself, newer": {func(tr *tree) { tr.write(crateDir+"/src/main.rs", "x"); makeByHand(tr, time.Now().Add(-time.Hour)) }, "is not newer than"},
		"the program, unstartable":  {func(tr *tree) { require.NoError(tr.t, os.Chmod(tr.path("target/debug/"+worker), 0o600)) }, "cannot be started"},
		"a stamp that is damaged": {func(tr *tree) {
			tr.write("target/.rbee/"+worker+".debug.stamp", "x")
			tr.touch("play", time.Now())
			old(tr)
		}, "is not newer than"},
		"what it depends on is gone": {func(tr *tree) { tr.remove("crates/deep/Cargo.toml") }, "which is gone"},
	}
	for name, test := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t)
			tr.write(crateDir+"/Cargo.toml", tr.read(crateDir+"/Cargo.toml")+`
[target.'cfg(unix)'.dependencies]
os = { path = "../../crates/os" }
[build-dependencies]
build = { path = "../../crates/build" }
[dev-dependencies]
dev = { path = "../../crates/dev" }
`)
			for _, crate := range []string{"os", "build", "deep", "dev"} {
				tr.write("crates/"+crate+"/Cargo.toml", "[package]\nname = \""+crate+"\"\n")
				tr.write("crates/"+crate+"/src/lib.rs", "")
			}
			tr.write("crates/os/Cargo.toml", "[package]\nname = \"os\"\n[dependencies]\ndeep = { path = \"../deep\" }\n")
			tr.write(crateDir+"/src/other.rs", "")
			tr.write("Cargo.lock", "version = 3\n")
			tr.write("prompts/two words.txt", "hello")
			tr.write("elsewhere/linked.rs", "x")
			require.NoError(t, os.Symlink(tr.path("elsewhere"), tr.path(crateDir+"/src/elsewhere")))
			require.NoError(t, os.Symlink(tr.path(crateDir), tr.path(crateDir+"/src/circle")))
			tr.plays("make " + strings.ReplaceAll(tr.path(crateDir+"/../../prompts/hello.txt"), " ", `\ `) + " " +
				strings.ReplaceAll(tr.path("prompts/two words.txt"), " ", `\ `))
			u := tr.updater(nil)
			tr.requireBuild(u, "has not been built")
			tr.requireFresh(u)
			tr.plays("say nothing to do") // it leaves the program as it is
			if strings.HasPrefix(name, "the program") || strings.HasPrefix(name, "a stamp") {
				tr.plays("make")
			}
			test.change(tr)
			out := tr.requireBuild(u, test.because)
			require.Equal(t, tr.path("target/debug/"+worker), out.path)
			tr.requireFresh(u)
		})
	}
}

func old(tr *tree) { makeByHand(tr, time.Now().Add(-time.Hour)) }

// makeByHand puts another program into the place of the built one.
func makeByHand(tr *tree, at time.Time) {
	path := "target/debug/" + worker
	tr.write(path, "#!/bin/sh\n# by hand\n")
	require.NoError(tr.t, os.Chmod(tr.path(path), 0o755))
	tr.touch(path, at)
}

// What does not get into the program is not looked at.
func TestUpdatePassesOverWhatIsNoSource(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.write("crates/dev/Cargo.toml", "[package]\nname = \"dev\"\n")
	tr.write(crateDir+"/Cargo.toml", tr.read(crateDir+"/Cargo.toml")+"[dev-dependencies]\ndev = { path = \"../../crates/dev\" }\n")
	u := tr.updater(nil)
	tr.requireBuild(u, "")
	for _, path := range []string{
		crateDir + "/.git/index", crateDir + "/target/debug/x", crateDir + "/node_modules/x/y.js", crateDir + "/src/.main.rs.swp",
		crateDir + "/src/main.rs~", crateDir + "/nested/Cargo.toml", crateDir + "/nested/src/lib.rs", "crates/dev/src/lib.rs", "README.md",
		"target/debug/other.d",
	} {
		tr.write(path, "x")
	}
	tr.requireFresh(u)
}

// Where somebody else built the program, the clock decides; what is as old as the program may be newer.
func TestUpdateOfWhatWasBuiltByHand(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	makeByHand(tr, time.Now().Add(time.Minute))
	u := tr.updater(nil)
	out := tr.requireFresh(u)
	require.Greater(t, out.verdict().Files, 5)
	require.Equal(t, "debug", out.profile)

	info, err := os.Stat(tr.path(crateDir + "/src/main.rs"))
	require.NoError(t, err)
	for _, path := range []string{crateDir + "/src/main.rs", "target/debug/" + worker} {
		tr.touch(path, info.ModTime().Add(time.Hour))
	}
	tr.requireBuild(u, "is not newer than "+filepath.FromSlash(crateDir+"/src/main.rs"))
	tr.requireFresh(u)
}

func TestUpdateKeepsTheProfile(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.write("target/release/"+worker, "#!/bin/sh\n")
	require.NoError(t, os.Chmod(tr.path("target/release/"+worker), 0o755))
	tr.touch("target/release/"+worker, time.Now().Add(-time.Hour))
	u := tr.updater(func(o *devtree.Options) { o.Features = []string{"cuda", "helper/fast"} })
	out := tr.requireBuild(u, "is not newer")
	require.Equal(t, "release", out.profile)
	require.Contains(t, tr.runs()[0], " --release --features cuda,helper/fast")
	tr.requireFresh(u)
	tr.requireBuild(tr.updater(nil), "was built by another command")
}

func TestUpdateOfAnOtherCrateOfTheWorkspace(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"its package": {"apps/one/Cargo.toml": "[package]\nname = \"" + worker + "\"\n"},
		"its program": {"apps/one/Cargo.toml": "[package]\nname = \"one\"\n[[bin]]\nname = \"" + worker + "\"\npath = \"main.rs\"\n"},
		"its file":    {"apps/one/Cargo.toml": "[package]\nname = \"one\"\n", "apps/one/src/bin/" + worker + ".rs": ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t)
			tr.remove("bin")
			tr.write("Cargo.toml", "[workspace]\nmembers = [\"apps/*\"]\nexclude = [\"apps/two\"]\n")
			tr.write("apps/two/Cargo.toml", "[package]\nname = \""+worker+"\"\n")
			for path, content := range files {
				tr.write(path, content)
			}
			tr.requireBuild(tr.updater(nil), "")
			require.Contains(t, tr.runs()[0], tr.path("apps/one/Cargo.toml"))
		})
	}
}

func TestUpdateWithoutSource(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.remove("bin")
	require.ErrorIs(t, update(t, tr.updater(nil)).err, devtree.ErrNoSource)
	require.ErrorIs(t, update(t, tr.updater(func(o *devtree.Options) { o.Root = "" })).err, devtree.ErrNoSource)

	tr.write("bin/a/Cargo.toml", "[package]\nname = \""+worker+"\"\n")
	tr.write("bin/b/Cargo.toml", "[package]\nname = \""+worker+"\"\n")
	require.ErrorContains(t, update(t, tr.updater(nil)).err, "--dev-source")
	tr.requireBuild(tr.updater(func(o *devtree.Options) { o.Sources = map[string]string{worker: tr.path("bin/b")} }), "")
	require.Contains(t, tr.runs()[0], tr.path("bin/b/Cargo.toml"))

	empty := tr.updater(func(o *devtree.Options) { o.Sources = map[string]string{worker: t.TempDir()} })
	require.ErrorContains(t, update(t, empty).err, "neither a Cargo.toml nor a worker.json")
	_, err := devtree.NewUpdater(devtree.Options{Sources: map[string]string{worker: "no/such/directory"}})
	require.ErrorContains(t, err, "no/such/directory")

	require.NoError(t, os.Chmod(tr.path("bin/b"), 0o777))
	open := tr.updater(func(o *devtree.Options) { o.Sources = map[string]string{worker: tr.path("bin/b")} })
	require.ErrorContains(t, update(t, open).err, "can be written by everyone")
}

func TestUpdateTellsTheCompilersErrors(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("say    Compiling helper v0.1.0", "say warning: unused variable: `x`", "say  --> src/lib.rs:1:1", "say ",
		"say error[E0308]: mismatched types", "say  --> src/lib.rs:1:17", "say   |", "say 1 | pub fn x() -> i32 { \"a\" }", "say ",
		"say For more information about this error, try `rustc --explain E0308`.", "say error: could not compile `helper` (lib) due to 1 previous error",
		"exit 101")
	out := update(t, tr.updater(nil))
	var failed *devtree.BuildError
	require.ErrorAs(t, out.err, &failed)
	require.Equal(t, 101, *failed.Code)
	require.Equal(t, []string{
		"error[E0308]: mismatched types", " --> src/lib.rs:1:17", "  |", "1 | pub fn x() -> i32 { \"a\" }",
		"error: could not compile `helper` (lib) due to 1 previous error",
	}, failed.Lines)
	require.Equal(t, worker+" was not built: cargo build failed with exit code 101: error[E0308]: mismatched types (src/lib.rs:1:17)", failed.Error())
	require.Equal(t, tr.path("target/.rbee/"+worker+".log"), failed.LogPath)
	require.NotEmpty(t, failed.Command)
	require.Empty(t, out.path)
	// A failed build is tried again: what it failed for may have gone.
	require.Error(t, update(t, tr.updater(nil)).err)
	require.Equal(t, 2, tr.ran())
}

func TestUpdateThatFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		plays []string
		says  string
	}{
		"without a word":   {[]string{"exit 1"}, "failed with exit code 1"},
		"with other words": {[]string{"say it is", "say all wrong", "exit 2"}, "exit code 2: all wrong"},
		"and makes nothing": {
			[]string{"say fine"}, "the build succeeded and left no ",
		},
		"and makes no program": {[]string{"make", "write target/debug/" + worker + " text"}, "left what cannot be started"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t)
			tr.plays(test.plays...)
			err := update(t, tr.updater(nil)).err
			require.ErrorContains(t, err, test.says)
			require.ErrorAs(t, err, new(*devtree.BuildError))
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestUpdateWithoutCargo(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	home := t.TempDir()
	u := tr.updater(func(o *devtree.Options) { o.Environ = []string{"PATH=" + home, "HOME=" + home} })
	err := update(t, u).err
	require.ErrorIs(t, err, devtree.ErrNoCargo)
	require.ErrorContains(t, err, filepath.Join(home, ".cargo", "bin"))
	require.ErrorContains(t, err, "install Rust")

	// It is found where rustup puts it, and finds there what it needs itself.
	bin := filepath.Join(home, ".cargo", "bin")
	require.NoError(t, os.MkdirAll(bin, 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Link(self, filepath.Join(bin, "cargo")))
	tr.requireBuild(u, "")
	require.Contains(t, tr.read("environ"), "PATH="+bin+string(filepath.ListSeparator)+home+"\n")
}

// A program that is up to date is started without Cargo.
func TestUpdateNeedsNoCargoForWhatIsFresh(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	makeByHand(tr, time.Now().Add(time.Minute))
	tr.requireFresh(tr.updater(func(o *devtree.Options) { o.Environ = []string{} }))
}

func TestUpdatesShareOneBuild(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("say working", "await go", "make")
	u := tr.updater(nil)
	outs := make([]told, 20)
	var group sync.WaitGroup
	for i := range outs {
		group.Go(func() { outs[i].path, _, outs[i].err = u.Update(t.Context(), worker, outs[i].step) })
	}
	for i := range outs {
		require.Eventually(t, func() bool { return len(outs[i].kinds()) >= 2 }, patience, time.Millisecond)
	}
	tr.write("go", "")
	group.Wait()
	shared := 0
	for i := range outs {
		require.NoError(t, outs[i].err)
		require.Equal(t, tr.path("target/debug/"+worker), outs[i].path)
		if outs[i].kinds()[1] == devtree.Waiting {
			shared++
		}
	}
	require.Equal(t, 1, tr.ran())
	require.Equal(t, len(outs)-1, shared)
}

// Who comes while a build is at work, with a change that this does not have, gets another.
func TestUpdateDuringABuildGetsItsChange(t *testing.T) {
	t.Parallel()
	for name, plays := range map[string][]string{"that succeeds": {"await go", "make"}, "that fails": {"await go", "exit 1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t)
			tr.plays(plays...)
			u := tr.updater(nil)
			var first, second told
			var group sync.WaitGroup
			group.Go(func() { _, _, first.err = u.Update(t.Context(), worker, first.step) })
			require.Eventually(t, func() bool { return tr.read("waits") != "" }, patience, time.Millisecond)
			tr.write(crateDir+"/src/main.rs", "fn main() {}")
			group.Go(func() { _, _, second.err = u.Update(t.Context(), worker, second.step) })
			require.Eventually(t, func() bool { return len(second.kinds()) == 2 }, patience, time.Millisecond)
			tr.plays("make")
			tr.write("go", "")
			group.Wait()
			require.NoError(t, second.err)
			require.Equal(t, name == "that fails", first.err != nil)
			require.GreaterOrEqual(t, tr.ran(), 2)
			tr.requireFresh(u)
		})
	}
}

// A file that is saved while it is built with is built with once more, so that the program has it.
func TestUpdateBuildsOnceMoreWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("make", "write "+crateDir+"/src/main.rs changed", "write Cargo.lock made")
	u := tr.updater(nil)
	out := tr.requireBuild(u, "has not been built")
	require.Contains(t, out.kinds(), devtree.Again)
	require.Equal(t, 2, tr.ran())
	tr.requireBuild(u, " changed") // in the second, too
	tr.plays("make")
	tr.requireBuild(u, "")
	tr.requireFresh(u)
}

func TestUpdateIsCancelledWithTheLastWhoWaits(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("child", "await never")
	u := tr.updater(nil)
	reason := errors.New("enough")
	ctxs := make([]context.Context, 2)
	cancels := make([]context.CancelCauseFunc, 2)
	outs := make([]told, 2)
	ended := make([]chan struct{}, 2)
	for i := range outs {
		ctxs[i], cancels[i] = context.WithCancelCause(t.Context())
		ended[i] = make(chan struct{})
		go func() {
			defer close(ended[i])
			_, _, outs[i].err = u.Update(ctxs[i], worker, outs[i].step)
		}()
	}
	for i := range outs {
		require.Eventually(t, func() bool { return len(outs[i].kinds()) >= 2 }, patience, time.Millisecond)
	}
	require.Eventually(t, func() bool { return tr.read("waits") != "" }, patience, time.Millisecond)
	cancels[0](reason)
	<-ended[0]
	require.ErrorIs(t, outs[0].err, reason)
	child, cargo := pid(t, tr.read("child")), pid(t, tr.read("waits"))
	require.NoError(t, syscall.Kill(cargo, 0), "it goes on for the other")
	cancels[1](reason)
	<-ended[1]
	require.ErrorIs(t, outs[1].err, reason)
	for _, pid := range []int{child, cargo} {
		require.Eventually(t, func() bool { return gone(pid) }, patience, time.Millisecond)
	}
	tr.plays("make")
	tr.requireBuild(u, "") // the lock is free
}

func TestUpdateThatTakesTooLong(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("child", "await never")
	u := tr.updater(func(o *devtree.Options) { o.Timeout = 300 * time.Millisecond })
	err := update(t, u).err
	var failed *devtree.BuildError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 300*time.Millisecond, failed.Limit)
	require.ErrorContains(t, err, "--build-timeout")
	if child := tr.read("child"); child != "" {
		require.Eventually(t, func() bool { return gone(pid(t, child)) }, patience, time.Millisecond)
	}
}

// What a build leaves running keeps nobody waiting.
func TestUpdateDoesNotWaitForWhatABuildLeft(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("child", "make")
	tr.requireBuild(tr.updater(nil), "")
	child := pid(t, tr.read("child"))
	require.NoError(t, syscall.Kill(child, syscall.SIGKILL))
}

func TestUpdateEndsWithClose(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("await never")
	u := tr.updater(nil)
	ended := make(chan error, 1)
	go func() {
		_, _, err := u.Update(t.Context(), worker, func(devtree.Step) {})
		ended <- err
	}()
	require.Eventually(t, func() bool { return tr.read("waits") != "" }, patience, time.Millisecond)
	u.Close()
	require.ErrorIs(t, <-ended, devtree.ErrClosed)
	require.True(t, gone(pid(t, tr.read("waits"))))
	require.ErrorIs(t, update(t, u).err, devtree.ErrClosed)
}

// Two hives on one machine build one after the other, and the second has nothing to do.
func TestUpdatersOfTwoHivesShareABuild(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("await go", "make")
	first, second := tr.updater(nil), tr.updater(nil)
	var one, other told
	var group sync.WaitGroup
	group.Go(func() { _, _, one.err = first.Update(t.Context(), worker, one.step) })
	require.Eventually(t, func() bool { return tr.read("waits") != "" }, patience, time.Millisecond)
	group.Go(func() { _, _, other.err = second.Update(t.Context(), worker, other.step) })
	require.Eventually(t, func() bool { return len(other.kinds()) == 2 }, patience, time.Millisecond)
	tr.write("go", "")
	group.Wait()
	require.NoError(t, one.err)
	require.NoError(t, other.err)
	require.Equal(t, 1, tr.ran())
	require.Equal(t, []devtree.Kind{devtree.Checked, devtree.Waiting, devtree.Elsewhere}, other.kinds())
}

func TestUpdateTellsAtABoundedRate(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.plays("many 5000", "make")
	out := tr.requireBuild(tr.updater(nil), "")
	dropped := 0
	for _, s := range out.steps {
		dropped += s.Dropped
	}
	require.Less(t, len(out.lines()), 1000)
	require.Equal(t, 5000, len(out.lines())+dropped)
	require.Equal(t, 5000, strings.Count(tr.read("target/.rbee/"+worker+".log"), "\n"))
}

func pid(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	require.NoError(t, err)
	return n
}

// gone reports whether the process has ended; whoever is its parent now may not have noticed yet.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// A hive that is killed while it builds leaves the builder at work, and a program of which nobody knows what it was made of: what was saved
// meanwhile may not be in it, however much newer it is.
func TestUpdateTrustsNoBuildThatBrokeOff(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.requireBuild(tr.updater(nil), "has not been built")
	tr.write(crateDir+"/src/main.rs", "fn main() { one() }\n")
	tr.plays("write "+crateDir+"/src/main.rs saved while it is built", "make", "await never")
	killed := tr.updater(nil)
	broken := make(chan error, 1)
	go func() { broken <- update(t, killed).err }()
	require.Eventually(t, func() bool { return tr.read("waits") != "" }, 10*time.Second, time.Millisecond)
	next := tr.updater(nil)
	v, err := next.Check(worker)
	require.NoError(t, err)
	require.False(t, v.Fresh)
	require.Equal(t, "is being built, or was when that broke off", v.Because)
	killed.Close()
	require.ErrorIs(t, <-broken, devtree.ErrClosed)
	tr.plays("make")
	tr.requireBuild(next, "when that broke off")
	tr.requireFresh(next)

	// One that fails and leaves the program as it was tells the same as before.
	tr.write(crateDir+"/src/main.rs", "fn main() { wrong }\n")
	tr.plays("exit 101")
	for range 2 {
		require.Contains(t, update(t, next).verdict().Because, "main.rs changed")
	}
}
