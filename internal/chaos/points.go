//go:build linux

package main

// point is a place between two steps of a queued job, and how to bring a hive there.
type point struct {
	name  string // as the code has it
	after string // what has happened there
	// first are points at which the hives before are killed: the step is one that repairs what they left.
	first []string
	// least is how many passings the usual load is sure to bring about in one process.
	least int
	// narrow gives the first hive fewer ports than the load needs, so that some jobs fail for now.
	narrow bool
	// load are the models of the jobs; nil is the usual load.
	load []string
	// watched has the first hive watch every worker until it listens or ends, however slow the machine is.
	watched bool
}

// models are those of the jobs that the point is reached with.
func (p point) models() []string {
	if p.load != nil {
		return p.load
	}
	return usualLoad
}

// livingLoad are workers that all live, for what is about those that do.
var livingLoad = []string{serving, other, mute, serving, other}

// endingLoad are workers that listen or end, and none that is watched for the whole time.
var endingLoad = []string{serving, other, failing, serving, failing, serving}

// points are all of them, in the order of a job's path: through the consumer to the spawner, and back.
var points = []point{
	{name: "consumer-asked", after: "the hive has asked for jobs", least: 1},
	{name: "consumer-pulled", after: "a job has come", least: 6},
	{name: "consumer-read", after: "it is known what it asks for", least: 6},
	{name: "consumer-recalled", after: "the stream of results knows no outcome of it", least: 6},
	{name: "spawner-locked", after: "the worker's lock is taken", least: 6},
	{name: "spawner-ported", after: "a port is taken", least: 6},
	{name: "spawner-chosen", after: "the binary is found, nothing is written", least: 6},
	{name: "spawner-prepared", after: "what is to be started is in the lock file", least: 6},
	{name: "process-opened", after: "the log is open", least: 6},
	{name: "process-forked", after: "the worker runs, nobody wrote down which process it is", least: 6},
	{name: "spawner-recorded", after: "its process is in the lock file", least: 6},
	{name: "spawner-released", after: "only the worker has its locks", least: 6},
	{name: "consumer-inprogress", after: "the server was told that the job is in work", least: 1},
	{name: "spawner-watched", after: "the watch is over", least: 6},
	{name: "spawner-linked", after: "worker.json is there: the job is answered", least: 5},
	{name: "spawner-ended", after: "the worker ended while it was watched, and the record does not say so", least: 1, load: endingLoad, watched: true},
	{name: "process-rewritten", after: "what replaces the record is in a file of its own", least: 1, load: endingLoad, watched: true},
	{name: "spawner-replaced", after: "the record says how the worker ended", least: 1, load: endingLoad, watched: true},
	{name: "consumer-spawned", after: "the spawner has answered", least: 6},
	{name: "consumer-narrated", after: "the first events are published", least: 3},
	{name: "consumer-told", after: "the last event is published", least: 6},
	{name: "consumer-stored", after: "the result is in its stream", least: 6},
	{name: "consumer-acked", after: "the job is out of the queue", least: 6},
	{name: "consumer-retried", after: "a job that failed for now was told to come again", least: 1, narrow: true},
	{name: "consumer-returned", after: "it was put back", least: 1, narrow: true},
	{name: "spawner-forgotten", after: "the next hive met a start that came to nothing", first: []string{"spawner-prepared"}, least: 1},
	{name: "spawner-found", after: "the next hive found the worker of a start that was cut short", first: []string{"process-forked"}, least: 1, load: livingLoad},
	{name: "spawner-met", after: "the next hive met the worker that the job started", first: []string{"spawner-released"}, least: 1, load: livingLoad},
	{name: "consumer-repeated", after: "the next hive told the outcome that the stream has", first: []string{"consumer-stored"}, least: 1},
}

func pointNamed(name string) (point, bool) {
	for _, p := range points {
		if p.name == name {
			return p, true
		}
	}
	return point{}, false
}
