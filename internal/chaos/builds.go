//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// edits are the edits of a source, each of which is a number that its program says.
type edits struct {
	path   string
	number int // of the last one
}

const program = "cpu-llm-worker-rbee"

// makeTree makes a workspace with one program, which is built by a Cargo that this program plays, and an empty catalog.
func (st *stage) makeTree() (*edits, error) {
	crate := st.path("src/bin/30_cpu_llm_worker_rbee")
	e := &edits{path: filepath.Join(crate, "src/main.rs")}
	err := errors.Join(
		os.RemoveAll(st.path("catalog")), os.MkdirAll(filepath.Dir(e.path), 0o755), os.Mkdir(st.path("bin"), 0o755),
		os.Symlink(st.programs.self, st.path("bin/cargo")), os.Link(st.programs.worker, st.path("worker")),
		os.WriteFile(st.path("src/Cargo.toml"), []byte("[workspace]\nmembers = [\"bin/*\"]\n"), 0o644),
		os.WriteFile(filepath.Join(crate, "Cargo.toml"), []byte("[package]\nname = \""+program+"\"\n"), 0o644),
	)
	err = errors.Join(err, e.save())
	st.env = append(st.env, "RBEE_AUTO_UPDATE=true", "RBEE_DEV_ROOT="+st.path("src"))
	return e, err
}

// save saves another edit.
func (e *edits) save() error {
	e.number++
	next := e.path + "~"
	return errors.Join(os.WriteFile(next, fmt.Appendf(nil, "edit %d\n", e.number), 0o644), os.Rename(next, e.path))
}

// playCargo does what Cargo does, as far as a hive sees it, one build at a time: its program says the edit that it was made of.
func playCargo(args []string) error {
	target := args[slices.Index(args, "--target-dir")+1]
	path := filepath.Join(target, "debug", program)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(target, ".cargo-lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	source, err := filepath.Abs("bin/30_cpu_llm_worker_rbee/src/main.rs")
	if err != nil {
		return err
	}
	edit, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	time.Sleep(20*time.Millisecond + rand.N(100*time.Millisecond)) //nolint:gosec // as long as it takes
	text := fmt.Sprintf("#!/bin/sh\necho %s\nexec \"$HOME/worker\" \"$@\"\n", strings.TrimSpace(string(edit)))
	if err := os.WriteFile(path+".new", []byte(text), 0o755); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	time.Sleep(rand.N(20 * time.Millisecond)) //nolint:gosec // likewise
	return os.WriteFile(path+".d", []byte(path+": "+source+"\n"), 0o644)
}

// checkEdits requires that every worker was made of what was saved before its job was queued, or later.
func (st *stage) checkEdits(all []job) (wrong []string) {
	if st.edits == nil {
		return nil
	}
	for _, j := range all {
		data, err := os.ReadFile(filepath.Join(st.path("log"), j.workerID()+"."+j.id+".log"))
		line, _, _ := strings.Cut(string(data), "\n")
		edit, numberErr := strconv.Atoi(strings.TrimPrefix(line, "edit "))
		if err := errors.Join(err, numberErr); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: its worker does not say what it was made of: %v", j.id, err))
		} else if edit < j.word {
			wrong = append(wrong, fmt.Sprintf("%s: its worker was made of edit %d, and edit %d was saved before it was queued", j.id, edit, j.word))
		}
	}
	return wrong
}
