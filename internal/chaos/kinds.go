//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// kind is what the jobs of a round of chance are about.
type kind string

const (
	// usually: queued jobs whose workers run, or end at once.
	usually kind = "usual"
	// untilReady: jobs that wait until their worker is ready, which some never are.
	untilReady kind = "ready"
	// deletions: workers are deleted, by queued jobs, also while others start workers of the same ids.
	deletions kind = "deletes"
	// inVain: jobs that fail for now until nobody tries them any more.
	inVain kind = "spent"
	// crowd: more requests at once than there is room for, asked again until they have an answer.
	crowd kind = "line"
	// building: each edit of a program's source is built by the next job.
	building kind = "builds"
)

// kinds are what the rounds of chance are in turn, by their seeds.
var kinds = []kind{usually, untilReady, deletions, crowd, building, inVain}

// oneOf returns one of all.
func oneOf[T any](chance *rand.Rand, all ...T) T { return all[chance.IntN(len(all))] }

// load lets chance decide for the jobs of the round, and what else is special about it.
func (p *plan) load(chance *rand.Rand) {
	switch p.kind {
	case untilReady:
		p.jobs = readyJobs(chance)
	case deletions:
		p.jobs = deleteJobs(chance)
	case inVain:
		p.jobs, p.attempts = vainJobs(chance), oneOf(chance, 2, 2, 2, 3, 3, 4, 5) // five take a quarter of a minute
	case crowd:
		p.jobs, p.maxJobs = usualJobs(chance), 1+chance.IntN(2)
		for i := range p.jobs {
			p.jobs[i].asked = chance.IntN(4) > 0
		}
		p.env = []string{fmt.Sprintf("RBEE_MAX_WAITING=%d", 1+chance.IntN(12))}
		p.within = time.Duration(chance.Int64N(int64(300 * time.Millisecond)))
	case building:
		p.jobs = usualJobs(chance)[:12]
		for i := range p.jobs {
			p.jobs[i].edits = chance.IntN(3) == 0
		}
	default:
		p.jobs = usualJobs(chance)
	}
}

func usualJobs(chance *rand.Rand) []job {
	models := make([]string, 16+chance.IntN(16))
	for i := range models {
		models[i] = oneOf(chance, serving, serving, serving, mute, other, failing)
	}
	return jobs(models, chance)
}

// readyJobs are jobs that wait for a ready worker, and some that do not.
func readyJobs(chance *rand.Rand) []job {
	models := make([]string, 12+chance.IntN(12))
	for i := range models {
		slow := fmt.Sprintf("slow:%d", 20+chance.IntN(1200))
		models[i] = oneOf(chance, serving, other, slow, slow, slow, fading, fading, failing)
	}
	squatted := min(chance.IntN(3), squattable)
	for range squatted {
		models = append(models, mute)
	}
	all := jobs(models, chance)
	for i := range all {
		j := &all[i]
		j.ready = j.model == mute || j.model == fading || chance.IntN(5) > 0
		switch {
		case j.model == fading:
			j.fails = messages.WorkerExited
		case j.model == mute: // it is ready, says who is not it
			j.squat, j.port, j.fails = true, squatted, messages.PortInUse
			squatted--
		}
	}
	return all
}

// deleteJobs are workers, each of which one or several jobs start and others delete.
func deleteJobs(chance *rand.Rand) []job {
	var all []job
	add := func(j job) int {
		j.id = fmt.Sprintf("job-%d-%s", len(all), j.worker)
		if j.twice = chance.IntN(4) == 0; j.deletes {
			j.id += "-end"
			j.mayFail = messages.WorkerNotFound
		} else {
			j.model, j.mayFail = oneOf(chance, serving, serving, other), messages.WorkerExited
			if j.worker[0] == 'b' {
				j.model = serving // all that share a worker ask for the same
			}
		}
		all = append(all, j)
		return len(all) - 1
	}
	for i := range 6 + chance.IntN(6) { // one behind the other
		worker := fmt.Sprintf("a%d", i)
		start := add(job{worker: worker, behind: -1})
		if chance.IntN(4) > 0 {
			add(job{worker: worker, deletes: true, behind: start})
		}
	}
	for i := range 1 + chance.IntN(2) { // all at once
		worker := fmt.Sprintf("b%d", i)
		for range 4 + chance.IntN(5) {
			add(job{worker: worker, behind: -1, deletes: chance.IntN(2) == 0})
		}
	}
	return all
}

// vainJobs are jobs that need a port where there is none, jobs whose workers are not ready in time, and some that succeed.
func vainJobs(chance *rand.Rand) []job {
	models := make([]string, 6+chance.IntN(8))
	for i := range models {
		models[i] = oneOf(chance, serving, serving, loading)
	}
	all := jobs(models, chance)
	ports := squattable
	for i := range all {
		j := &all[i]
		j.twice = false // what is given up may be queued again
		switch {
		case ports > 0 && (j.model == loading || chance.IntN(4) == 0):
			j.port = ports
			ports--
			if j.model == loading {
				j.ready, j.limit, j.spent, j.fails = true, 50*time.Millisecond, true, messages.NotReady
			}
		default:
			j.model, j.spent, j.fails = serving, true, messages.NoFreePort
		}
	}
	return all
}
