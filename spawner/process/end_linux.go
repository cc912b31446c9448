package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of an end, besides its grace.
const (
	killLimit  = 5 * time.Second       // from the first SIGKILL to the answer that a process cannot be killed
	freeLimit  = 5 * time.Second       // for the lock and the port to be free behind the last process
	cometLimit = 50 * time.Millisecond // for whoever is in the group to be found
	firstAsk   = time.Millisecond
	lastAsk    = 16 * time.Millisecond
)

// End ends all processes of the worker (see [RunDir.Members]) and returns when they have gone, nobody has the worker's
// lock, and its port can be bound:
//
//	signal to the leader ─► leader gone, or half the grace over: signal to the rest ─► grace over: SIGSTOP until nobody
//	new is found, SIGKILL to all ─► lock free ─► port free
//
// The leader comes first and alone because most servers end their own children, in an order that they know, and take the
// end of one that they did not ask for as a crash. Who has no leader any more is asked at once. A process that was stopped
// is made to go on, since it would not hear otherwise. SIGSTOP before SIGKILL, because a parent that can no longer fork is
// still known as the parent of those that it has just made.
//
// The error is [ErrGone] if nobody was there to end, [*StuckError] if one lives on for 5 s behind SIGKILL, [ErrHeld]
// if somebody who cannot be found has the lock, and ctx's if that ends before the grace: the processes have had their
// signal then, and no other follows. From SIGKILL on, ctx is not looked at. A port that stays taken is no error, since the worker
// has ended: see [Ending.PortHeld]. The exit status is not collected: who waits for the leader gets it. Two ends at once
// are harmless, and each answers with what it saw.
func (d *RunDir) End(ctx context.Context, tree Tree, cfg EndConfig) (Ending, error) {
	began, cfg := time.Now(), cfg.withDefaults()
	await, err := newAwaiter()
	if err != nil {
		return Ending{}, err
	}
	defer await.close()
	e := &end{hunt: newHunt(d, tree), cfg: cfg, await: await}
	defer e.close()

	gone, err := e.gone(ctx)
	if err != nil {
		return Ending{}, err
	}
	if gone {
		return Ending{}, ErrGone
	}
	if err := e.ask(ctx); err != nil {
		return Ending{}, err
	}
	if err := e.kill(); err != nil {
		return Ending{}, err
	}
	ending := Ending{Signal: unix.SignalName(cfg.Signal), Processes: e.ended}
	if e.killed {
		ending.Signal = unix.SignalName(unix.SIGKILL)
	}
	err = e.freePort(ctx, &ending)
	ending.Took = time.Since(began)
	return ending, err
}

// end is the end of one worker under way.
type end struct {
	*hunt
	cfg    EndConfig
	await  *awaiter
	killed bool
}

// ask asks the members to end, and returns when they have or the grace is over.
func (e *end) ask(ctx context.Context) error {
	if e.cfg.Grace == 0 {
		return nil
	}
	now := time.Now()
	g := grace{half: now.Add(e.cfg.Grace / 2), over: now.Add(e.cfg.Grace)}
	for {
		if err := e.askOnce(ctx, &g); err != nil {
			return err
		}
		gone, err := e.gone(ctx)
		if gone || err != nil {
			return err
		}
		if !time.Now().Before(g.over) {
			return nil
		}
	}
}

// grace is when half of it is over, and all of it.
type grace struct{ half, over time.Time }

// askOnce asks those whose turn it is, and returns when the leader or the last member has ended, when it is the others' turn, or when
// the grace has become shorter.
func (e *end) askOnce(ctx context.Context, g *grace) error {
	round, cancel := context.WithCancel(ctx)
	defer cancel()
	if over := e.cfg.Hurry.watch(cancel); !over.IsZero() && over.Before(g.over) {
		left := max(time.Until(over), 0)
		g.over = over
		if half := over.Add(-left / 2); half.Before(g.half) {
			g.half = half
		}
		e.cfg.Hurried(left)
	}
	leads := e.leads()
	all := !leads || !time.Now().Before(g.half)
	e.signal(e.cfg.Signal, all)
	until := g.over
	if !all {
		until = g.half
	}
	for leads == e.leads() && len(e.living()) > 0 && time.Now().Before(until) {
		err := e.wait(round, until)
		if round.Err() != nil {
			return ctx.Err() // nil where somebody is in a hurry
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leads reports whether the leader is known and lives.
func (e *end) leads() bool {
	living := e.living()
	return len(living) > 0 && living[0].pid == e.tree.Leader.PID
}

// signal sends the signal to the leader, or to all, who have not been told yet. A process that was stopped hears it only
// when it goes on.
func (e *end) signal(sig syscall.Signal, all bool) {
	sent := 0
	for _, m := range e.living() {
		if m.told || !all && m.pid != e.tree.Leader.PID {
			continue
		}
		m.told = true
		if m.send(sig) {
			sent++
		}
		if stat, err := readTask(m.pid, e.buf); err == nil && stat.stopped() {
			m.send(unix.SIGCONT)
		}
	}
	if sent > 0 {
		e.cfg.Tell(unix.SignalName(sig), sent)
	}
}

func (m *member) send(sig syscall.Signal) bool {
	err := unix.PidfdSendSignal(m.pidfd, sig, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		m.err = err
	}
	return err == nil
}

// wait waits until a member has ended that lived, or for the given time.
func (e *end) wait(ctx context.Context, until time.Time) error {
	for _, m := range e.members {
		if m.awaited || m.pidfd < 0 {
			continue
		}
		m.awaited = true
		if err := e.await.add(m.pidfd); err != nil {
			return fmt.Errorf("wait for process %d: %w", m.pid, err)
		}
	}
	return e.await.wait(ctx, until)
}

// gone looks for members that are new, and reports whether there are none at all and the lock is free.
func (e *end) gone(ctx context.Context) (bool, error) {
	began := time.Now()
	for delay := firstAsk; ; delay = min(2*delay, lastAsk) {
		if err := e.find(byStrays); err != nil {
			return false, err
		}
		populated := len(e.living()) == 0 && e.tree.Group.Populated()
		if len(e.living()) > 0 || !e.held && !populated {
			return len(e.living()) == 0, nil
		}
		// Nobody has it who is a member: a child that a hive has forked has copies of all it had open until it executes its
		// program, and whoever claims the worker writes into the lock file soon. And who is in the group may be gone before he is
		// looked at, with another in his place: only the end of the group ends that.
		switch {
		case populated && time.Since(began) > cometLimit:
			return false, nil
		case !populated && time.Since(began) > freeLimit:
			return false, fmt.Errorf("the lock of worker %s, by a process that cannot be found: %w", e.tree.Worker, ErrHeld)
		}
		if err := e.await.wait(ctx, time.Now().Add(delay)); err != nil {
			return false, err
		}
	}
}

// kill kills the members that live, and those that are made meanwhile.
func (e *end) kill() error {
	ctx, limit := context.Background(), time.Now().Add(killLimit)
	for len(e.living()) > 0 || e.tree.Group.Populated() {
		if len(e.living()) == 0 && !time.Now().Before(limit) {
			return e.stuck()
		}
		e.freeze()
		for _, m := range e.members {
			m.told = false
		}
		if e.tree.Group != nil {
			_ = e.tree.Group.Kill() // all at once; whom it does not reach, the signals do
		}
		e.killed = true
		e.signal(unix.SIGKILL, true)
		for len(e.living()) > 0 {
			if !time.Now().Before(limit) {
				return e.stuck()
			}
			if err := e.wait(ctx, limit); err != nil {
				return err
			}
		}
		if gone, err := e.gone(ctx); gone || err != nil {
			return err
		}
	}
	return nil
}

// freeze stops the members until nobody new appears: from then on, nobody is made. It is bounded, since one that cannot be
// stopped could go on.
func (e *end) freeze() {
	for range 8 {
		known := len(e.members)
		for _, m := range e.living() {
			m.send(unix.SIGSTOP)
		}
		if e.find(byTable) != nil || len(e.members) == known {
			return
		}
	}
}

// stuck returns which process lives on.
func (e *end) stuck() error {
	stuck := &StuckError{}
	if living := e.living(); len(living) > 0 {
		stuck = &StuckError{PID: living[0].pid, More: len(living) - 1, Err: living[0].err}
	} else if pids := e.tree.Group.pids(); len(pids) > 0 {
		stuck = &StuckError{PID: int(pids[0]), More: len(pids) - 1}
	} else {
		return nil
	}
	if line, err := readOnce(procPath(stuck.PID, "/stat"), e.buf); err == nil {
		stuck.Name = taskName(line)
		if stat, err := parseTask(line); err == nil {
			stuck.State = string(rune(stat.state))
		}
	}
	return stuck
}

// freePort waits until the worker's port can be bound, unless another process listens on it.
func (e *end) freePort(ctx context.Context, ending *Ending) error {
	if e.tree.Port == 0 {
		return nil
	}
	limit := time.Now().Add(freeLimit)
	for delay := firstAsk; ; delay = min(2*delay, lastAsk) {
		if bindable(e.tree.Port) == nil {
			return nil
		}
		holder, known := Listener(e.tree.Port)
		if known || time.Now().After(limit) {
			ending.PortHeld, ending.PortHolder = true, holder
			return nil
		}
		if err := e.await.wait(ctx, time.Now().Add(delay)); err != nil {
			return err
		}
	}
}
