//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
)

// mode is who dies at a point.
type mode string

const (
	// killHive: the hive is killed at the point, and another process of it comes.
	killHive mode = "hive"
	// killServer: the hive stands still at the point while the server is killed and comes back.
	killServer mode = "server"
	// freeze: the hive stands still at the point until the server has given its jobs to another process of it, and then goes on.
	freeze mode = "freeze"
	// loseMachine: the hive is killed at the point, every worker with it, and the run directory is gone.
	loseMachine mode = "machine"
)

var modes = []mode{killHive, killServer, freeze, loseMachine}

// errMissed is why a round says nothing: the hive never came to the point.
var errMissed = errors.New("no hive came to the point")

// strike plays one round: a hive is struck at a point under load, and when all has come back, nothing is wrong.
func strike(ctx context.Context, st *stage, p point, m mode, chance *rand.Rand) (verdict, error) {
	all := jobs(p.models(), chance)
	for i := range all {
		all[i].ready = (all[i].model == serving || all[i].model == other) && chance.IntN(2) == 0
	}
	st.maxJobs = 2 + chance.IntN(7)
	ctx, cancel := context.WithCancel(ctx)
	sent := st.sendAside(ctx, all, 0)
	defer func() {
		cancel()
		_ = sent()
	}()
	for _, before := range p.first {
		h, err := st.startHive(before)
		if err == nil {
			err = st.awaitStruck(ctx, h)
		}
		if err != nil {
			return verdict{}, err
		}
	}
	fault := fmt.Sprintf("%s:%d", p.name, 1+chance.IntN(p.least))
	if m == killServer || m == freeze {
		fault += ":stop"
	}
	var env []string
	if p.narrow {
		env = []string{fmt.Sprintf("RBEE_PORT_RANGE=%d-%d", st.ports.first, st.ports.first+1)}
	}
	if p.watched {
		env = append(env, "RBEE_WATCH="+patience.String())
	}
	h, err := st.startHive(fault, env...)
	if err == nil {
		err = st.awaitStruck(ctx, h)
	}
	if err != nil {
		return verdict{}, err
	}
	if err := st.heal(ctx, h, m, p.narrow); err != nil {
		return verdict{}, err
	}
	if err := sent(); err != nil {
		return verdict{}, err
	}
	return st.verify(ctx, all), nil
}

// heal brings back what a round needs once h was struck.
func (st *stage) heal(ctx context.Context, h *party, m mode, narrow bool) error {
	switch m {
	case loseMachine:
		if err := st.loseMachine(); err != nil {
			return err
		}
		fallthrough
	case killHive:
		_, err := st.serve(ctx)
		return err
	case killServer:
		st.killServer()
		err := st.startServer(ctx)
		goOn(h)
		if err == nil && narrow { // it alone cannot do all of it
			_, err = st.serve(ctx)
		}
		return err
	}
	if _, err := st.serve(ctx); err != nil {
		return err
	}
	// The other process has what it can have of the jobs once they were given out again and the queue rests.
	_ = wait(ctx, 3*ackWait)
	goOn(h)
	return nil
}

// awaitStruck waits until h was killed or stopped at its point.
func (st *stage) awaitStruck(ctx context.Context, h *party) error {
	err := await(ctx, "the hive is struck", patience, func() bool { return !h.runs() || stopped(h) })
	switch {
	case err != nil && ctx.Err() == nil:
		return fmt.Errorf("%w: %w; see %s", errMissed, err, h.said)
	case err != nil:
		return err
	case !h.runs():
		if !h.struck() {
			return fmt.Errorf("%w: a hive (%s), with code %d", errUnexpected, h.said, h.cmd.ProcessState.ExitCode())
		}
		st.died(false)
	}
	return nil
}
