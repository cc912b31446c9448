//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// How many idle hives are measured: most of them in a few processes, because as many processes as hives do not fit into a machine of
// usual size at once, and a few real ones, each in its own.
const (
	idleHives   = 1000
	idleCrowds  = 4
	idleReal    = 10
	idleAtOnce  = 16 // start at the same time
	idleSeconds = 3  // are watched
)

// idleFigures is what a run found of hives that wait for jobs, in the queue and by request.
type idleFigures struct {
	Server, ServerLive Growth // of the server, by [idleHives] hives
	Hives, HivesLive   Growth // of the processes that hold them
	RealRSS, RealOwn   int64  // kB of a real hive, and what of that it shares with no other
	AllServe           time.Duration
	Busy, BusyBefore   float64 // of the server, in cores
}

// Growth is a number of kB before and after.
type Growth struct{ Before, After int64 }

func (g Growth) each() float64 { return float64(g.After-g.Before) / idleHives }

// measureIdle connects the hives and looks at them while nothing happens.
func measureIdle(ctx context.Context, binary, dir string) (f *idleFigures, err error) {
	f = &idleFigures{}
	store, err := os.MkdirTemp("", "rbee-bench-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(store)) }()
	st := &queueStage{stage: &stage{}}
	defer st.tearDown()
	var url string
	if st.server, err = enlist(ctx, "server", store); err != nil {
		return f, err
	}
	if err := st.server.ask("url", &url); err != nil {
		return f, err
	}
	queuer, err := st.enlist(ctx, "queuer", url)
	if err != nil {
		return f, err
	}
	if err := queuer.ask("apply 0 0 "+realFleet, new(bool)); err != nil {
		return f, err
	}
	if f.RealRSS, f.RealOwn, err = st.real(ctx, binary, url, dir); err != nil {
		return f, err
	}
	crowds := make([]*party, idleCrowds)
	for i := range crowds {
		if crowds[i], err = st.enlist(ctx, "crowd", url, strconv.Itoa(i*idleHives/idleCrowds)); err != nil {
			return f, err
		}
	}
	look := func(note func(g *Growth, kB int64)) error {
		return errors.Join(
			note2(note, &f.Server, &f.ServerLive, st.server), note2(note, &f.Hives, &f.HivesLive, crowds...),
		)
	}
	if f.BusyBefore, err = busy(st.server.cmd.Process.Pid); err != nil {
		return f, err
	}
	if err := look(func(g *Growth, kB int64) { g.Before += kB }); err != nil {
		return f, err
	}
	begin := time.Now()
	for _, crowd := range crowds {
		if err := crowd.ask(fmt.Sprintf("serve %d %d -", idleHives/idleCrowds, idleAtOnce), new(sample)); err != nil {
			return f, err
		}
	}
	f.AllServe = time.Since(begin)
	if f.Busy, err = busy(st.server.cmd.Process.Pid); err != nil {
		return f, err
	}
	return f, look(func(g *Growth, kB int64) { g.After += kB })
}

// note2 notes what the parties need: the memory that the kernel counts, and what of it is in use.
func note2(note func(g *Growth, kB int64), rss, inUse *Growth, parties ...*party) error {
	for _, p := range parties {
		m, err := readMemory(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		var bytes int64
		if err := p.ask("live 0 0 -", &bytes); err != nil {
			return err
		}
		note(rss, m.RSS)
		note(inUse, bytes/1000)
	}
	return nil
}

// real starts a few real hives and returns what one of them needs once all are there, in the middle.
func (st *queueStage) real(ctx context.Context, binary, url, dir string) (rss, own int64, err error) {
	hives := make([]*stage, idleReal)
	defer func() {
		for _, h := range hives {
			if h != nil {
				h.tearDown()
			}
		}
	}()
	for i := range hives {
		name := "real-" + strconv.Itoa(i)
		hives[i] = &stage{serve: []string{
			binary, "serve", "--hive-id", name, "--server", url, "--queue", "required", "--run-dir", filepath.Join(dir, name, "run"),
			"--log-dir", filepath.Join(dir, name, "log"), "--catalog-dir", filepath.Join(dir, "none"), "--log-level", "error",
		}}
		if err := hives[i].startHive(ctx); err != nil {
			return 0, 0, err
		}
	}
	var all, owns []time.Duration // quantile knows no plain numbers
	for _, h := range hives {
		m, err := readMemory(h.hive.Process.Pid)
		if err != nil {
			return 0, 0, err
		}
		private, err := readOwn(h.hive)
		if err != nil {
			return 0, 0, err
		}
		all, owns = append(all, time.Duration(m.RSS)), append(owns, time.Duration(private))
	}
	return int64(quantile(all, .5)), int64(quantile(owns, .5)), nil
}

// readOwn returns the kB of a process that it shares with no other.
func readOwn(cmd *exec.Cmd) (kB int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[0], "Private_") {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			kB += n
		}
	}
	return kB, nil
}

// busy returns how many cores a process uses in the next seconds.
func busy(pid int) (float64, error) {
	before, err := ticks(pid)
	if err != nil {
		return 0, err
	}
	time.Sleep(idleSeconds * time.Second)
	after, err := ticks(pid)
	const perSecond = 100 // USER_HZ, on every Linux that Go runs on
	return float64(after-before) / perSecond / idleSeconds, err
}

// ticks returns the processor time of a process (proc_pid_stat(5)).
func ticks(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return user + system, nil
}

// print writes what an idle hive costs.
func (f *idleFigures) print(t *table) {
	t.row()
	each := func(what string, all, inUse Growth, aim string) {
		t.row(what, fmt.Sprintf("%.1f MB", float64(all.After)/1000), fmt.Sprintf("%.1f MB (without them)", float64(all.Before)/1000),
			fmt.Sprintf("%.0f kB each, %.0f in use", all.each(), inUse.each()), aim)
	}
	each(fmt.Sprintf("server with %d idle hives", idleHives), f.Server, f.ServerLive, "")
	each(fmt.Sprintf("those hives, %d in a process, no spawner", idleHives/idleCrowds), f.Hives, f.HivesLive, "")
	t.row("a real hive, idle, with its queue", fmt.Sprintf("%.1f MB", float64(f.RealRSS)/1000), fmt.Sprintf("%.1f MB (its own)", float64(f.RealOwn)/1000), "", "at most 20 MB")
	t.row("server's processor while all are idle", fmt.Sprintf("%.1f %% of a core", 100*f.Busy), fmt.Sprintf("%.1f %% (without them)", 100*f.BusyBefore))
	t.row(fmt.Sprintf("until all of them take jobs, %d at a time", idleAtOnce), fmt.Sprintf("%.1f s", f.AllServe.Seconds()))
}
