//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// plan is what chance decided for one round. The same seed decides the same; what the machine makes of it differs.
type plan struct {
	kind    kind
	hives   int
	jobs    []job
	within  time.Duration // in which the jobs are queued
	watch   time.Duration
	maxJobs int
	acts    []act

	attempts int      // how often a job is given out at most; 0 is more often than a round can burn
	env      []string // of the hive
	lossy    bool     // the network fails, too
}

// act is one blow of a round.
type act struct {
	after time.Duration // behind the one before
	hive  int           // which process is struck; -1 is none
	stop  bool          // it is stopped and not killed
	term  bool          // it is told to end, and comes again when it has
	kills bool          // the server is killed
	net   fault         // what happens to the network
	back  time.Duration // how long whoever was struck is away
}

// fault is what happens to the connections of all hives.
type fault string

const (
	sound  fault = ""
	cut    fault = "cut"    // they break
	halved fault = "halved" // the server hears that nothing more comes
	held   fault = "held"   // nothing passes for a while, and nobody is told
)

// draw lets chance make a plan.
func draw(kind kind, chance *rand.Rand) plan {
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(chance.Int64N(int64(most-least)))
	}
	p := plan{
		kind: kind, hives: 1 + chance.IntN(2), within: between(500*time.Millisecond, 2*time.Second),
		watch: between(20*time.Millisecond, 300*time.Millisecond), maxJobs: 1 + chance.IntN(8), lossy: chance.IntN(2) == 0,
	}
	p.load(chance)
	for range 3 + chance.IntN(4) {
		a := act{after: between(10*time.Millisecond, 500*time.Millisecond), hive: chance.IntN(p.hives), back: between(time.Millisecond, 200*time.Millisecond)}
		switch chance.IntN(10) {
		case 0, 1:
			a.kills, a.hive = true, -1
		case 2:
			a.kills = true
		case 3:
			a.stop, a.back = true, between(ackWait/2, 3*ackWait)
		case 4:
			a.term = true
		case 5, 6, 7:
			if p.lossy {
				a.hive, a.net, a.back = -1, oneOf(chance, cut, cut, halved, held), between(10*time.Millisecond, 2*ackWait)
			}
		}
		if a.kills && (kind == inVain || kind == crowd) { // what those promise, a server that forgets does not
			a.kills, a.hive = false, chance.IntN(p.hives)
		}
		p.acts = append(p.acts, a)
	}
	return p
}

// String tells the plan.
func (p plan) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%-7s  %d jobs within %s, %d processes of the hive with %d slots, watch %s", p.kind, len(p.jobs), p.within.Round(time.Millisecond), p.hives, p.maxJobs,
		p.watch.Round(time.Millisecond))
	for _, a := range p.acts {
		text.WriteString("; " + a.String())
	}
	return text.String()
}

// String tells the blow.
func (a act) String() string {
	who := []string{}
	if a.hive >= 0 {
		who = append(who, fmt.Sprintf("hive %d", a.hive+1))
	}
	if a.kills {
		who = append(who, "server")
	}
	what := "killed"
	switch {
	case a.stop:
		what = "stopped"
	case a.term:
		what = "told to end"
	case a.net != sound:
		who, what = []string{"network"}, string(a.net)
	}
	return fmt.Sprintf("+%s %s %s for %s", a.after.Round(time.Millisecond), strings.Join(who, " and "), what, a.back.Round(time.Millisecond))
}

// play plays a round of chance.
func (p plan) play(ctx context.Context, st *stage) (verdict, error) {
	st.watch, st.maxJobs, st.env = p.watch, p.maxJobs, p.env
	if err := st.prepare(ctx, p); err != nil {
		return verdict{}, err
	}
	hives := make([]*party, p.hives)
	for i := range hives {
		var err error
		if hives[i], err = st.serve(ctx); err != nil {
			return verdict{}, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	sent := st.sendAside(ctx, p.jobs, p.within)
	squatted := st.squatAside(ctx, p.jobs)
	defer func() {
		cancel()
		_ = sent()
		squatted()
	}()
	if err := p.strikeAll(ctx, st, hives); err != nil {
		return verdict{}, err
	}
	if err := sent(); err != nil {
		return verdict{}, err
	}
	return st.verify(ctx, p.jobs), nil
}

func (p plan) strikeAll(ctx context.Context, st *stage, hives []*party) (err error) {
	for _, a := range p.acts {
		if err := wait(ctx, a.after); err != nil {
			return err
		}
		switch {
		case a.net != sound:
			st.silent = true
			st.breakNetwork(a.net)
		case a.hive >= 0 && a.stop:
			st.silent = true
			stop(hives[a.hive])
		case a.hive >= 0 && a.term:
			if err := st.endHive(ctx, hives[a.hive]); err != nil {
				return err
			}
		case a.hive >= 0:
			st.killHive(hives[a.hive])
		}
		if a.kills {
			st.killServer()
		}
		if err := wait(ctx, a.back); err != nil {
			return err
		}
		if a.net == held {
			st.network.Heal()
		}
		if a.kills {
			if err := st.startServer(ctx); err != nil {
				return err
			}
		}
		if a.hive >= 0 && a.stop {
			goOn(hives[a.hive])
		} else if a.hive >= 0 {
			if hives[a.hive], err = st.startHive(""); err != nil { // it may be killed again before it is ready
				return err
			}
		}
	}
	return nil
}
