//go:build unix

package devtree_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/devtree"
)

// scripted returns a tree whose worker a script builds, which copies the first line of its source.
func scripted(t *testing.T, manifest string) *tree {
	t.Helper()
	root := t.TempDir()
	tr := &tree{t: t, root: root, env: []string{"PATH=" + os.Getenv("PATH")}}
	tr.write("bin/30_cpu_llm_worker_rbee/worker.json", manifest)
	tr.write("bin/30_cpu_llm_worker_rbee/main.txt", "#!/bin/sh\n")
	return tr
}

const shell = `{"name": "cpu-llm-worker-rbee", "worker_type": "CpuLlm", "binary": "dist/worker",
	"build": ["sh", "-c", "mkdir -p dist && cp main.txt dist/worker.new && chmod 755 dist/worker.new && mv dist/worker.new dist/worker && echo x >>../../runs"]}`

func TestUpdateByManifest(t *testing.T) {
	t.Parallel()
	tr := scripted(t, shell)
	u := tr.updater(nil)
	out := tr.requireBuild(u, "has not been built")
	require.Equal(t, tr.path(crateDir+"/dist/worker"), out.path)
	require.Equal(t, "debug", out.profile)
	require.Equal(t, "*\n", tr.read(crateDir+"/.rbee/.gitignore"))
	tr.requireFresh(u)
	tr.write(crateDir+"/deep/other.txt", "x")
	tr.requireBuild(u, "other.txt came")
	tr.requireFresh(u)
	for _, path := range []string{"/dist/asset", "/.git/index", "/node_modules/a/b", "/target/x", "/.hidden"} {
		tr.write(crateDir+path, "x")
	}
	tr.requireFresh(u)
	tr.remove(crateDir + "/deep")
	tr.requireBuild(u, "other.txt, which is gone")
	tr.write(crateDir+"/worker.json", shell+"\n")
	tr.requireBuild(u, "worker.json changed")
}

func TestUpdateByManifestThatListsItsSources(t *testing.T) {
	t.Parallel()
	tr := scripted(t, `{"binary": "worker", "sources": ["main.txt", "../../shared"],
		"build": ["sh", "-c", "cp main.txt worker.new && chmod 755 worker.new && mv worker.new worker && echo x >>../../runs"]}`)
	tr.write("shared/a.txt", "a")
	u := tr.updater(nil)
	tr.requireBuild(u, "")
	tr.requireFresh(u)
	tr.write(crateDir+"/other.txt", "x")
	tr.requireFresh(u)
	tr.write("shared/deep/b.txt", "b")
	tr.requireBuild(u, "b.txt came")
	tr.remove(crateDir + "/main.txt")
	require.ErrorContains(t, update(t, u).err, "sh failed with exit code 1: cp: ")
}

func TestManifestThatIsWrong(t *testing.T) {
	t.Parallel()
	for manifest, says := range map[string]string{
		"{\n  \"build\": [\"go\"],\n}":                               "line 3, column 1",
		`["go"]`:                                                     "one JSON object",
		`{"build": "go build"}`:                                      "build: is \"go build\"; use a list of texts",
		`{"build": []}`:                                              "binary: is missing",
		`{"build": [], "binary": "x"}`:                               "build: is empty",
		`{"build": ["go"], "binary": "../x"}`:                        "use a path below this directory",
		`{"build": ["go"], "binary": "/x"}`:                          "use a path below this directory",
		`{"build": ["go"], "binary": 7}`:                             "binary: is 7; use a text",
		`{"build": ["go"], "binary": "x", "sources": [""]}`:          "sources: holds an empty path",
		`{"build": ["go"], "binary": "x", "sources": null}`:          "sources: is null",
		`{"build": ["go"], "binary": "x", "name": "other"}`:          "name: is other",
		`{"build": ["no-such-compiler"], "binary": "x"}`:             "no-such-compiler is not here",
		`{"build": ["./no-such-script"], "binary": "x"}`:             "no-such-script is not here",
		`{"build": ["sh", "-c", "kill -9 $$"], "binary": "x"}`:       "was ended by SIGKILL",
		`{"build": ["sh", "-c", "true"], "binary": "x"}`:             "correct build or binary",
		`{"build": ["sh", "-c", "printf é; exit 3"], "binary": "x"}`: "exit code 3: é",
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			tr := scripted(t, manifest)
			err := update(t, tr.updater(nil)).err
			require.ErrorContains(t, err, says)
			require.NotErrorIs(t, err, devtree.ErrNoSource)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// A worker.json for the catalog, which builds nothing, does not stand in Cargo's way.
func TestManifestWithoutBuild(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.write(crateDir+"/worker.json", `{"name": "cpu-llm-worker-rbee", "binary": "cpu-llm-worker-rbee"}`)
	tr.requireBuild(tr.updater(nil), "")
	require.Len(t, tr.runs(), 1)
}

// A worker in Go, with the compiler that runs this test.
func TestUpdateOfAWorkerInGo(t *testing.T) {
	t.Parallel()
	goTool, err := exec.LookPath("go")
	require.NoError(t, err)
	tr := &tree{t: t, root: t.TempDir(), env: append(os.Environ(), "GOFLAGS=", "GOWORK=off")}
	tr.write("src/go.mod", "module worker\n\ngo 1.21\n")
	tr.write("src/main.go", "package main\n\nfunc main() { println(\"one\") }\n")
	tr.write("src/worker.json", `{"binary": "dist/worker", "build": ["`+goTool+`", "build", "-o", "dist/worker", "."]}`)
	u := tr.updater(func(o *devtree.Options) { o.Root, o.Sources = "", map[string]string{worker: tr.path("src")} })
	_, printed := tr.build(t, u)
	require.Equal(t, "one\n", printed)
	require.True(t, update(t, u).verdict().Fresh)
	tr.write("src/main.go", "package main\n\nfunc main() { println(\"two\") }\n")
	_, printed = tr.build(t, u)
	require.Equal(t, "two\n", printed)
	tr.write("src/main.go", "package main\n\nfunc main() { println(three) }\n")
	err = update(t, u).err
	var failed *devtree.BuildError
	require.ErrorAs(t, err, &failed)
	require.Contains(t, failed.Lines, "./main.go:3:23: undefined: three")
}
