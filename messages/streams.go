package messages

import "strings"

// Streams names the JetStream streams of one fleet, and what each of them keeps.
type Streams struct {
	// Jobs is the work queue: a job waits there until its hive has run it. It keeps [Streams.JobSubjects].
	Jobs string
	// Results keeps the last outcome of each job: [Streams.ResultSubjects].
	Results string
	// Narration keeps the stories for late readers: [Streams.NarrationSubjects].
	Narration string
	// Dead keeps what is known of jobs that came to no result: what the server says of those that it gave up, because they were
	// terminated or delivered as often as they may be, and what was asked, so that one can be told of and tried again.
	Dead string

	subjects Subjects
}

// Streams returns the names of the fleet's streams: RBEE_JOBS, RBEE_RESULTS, RBEE_NARRATION and RBEE_DEAD. Behind a prefix other
// than [DefaultPrefix] they end with it, its dots as '-', so that fleets that share an account do not share their streams:
// stream names are one word.
func (s Subjects) Streams() Streams {
	suffix := ""
	if s.Prefix() != DefaultPrefix {
		suffix = "_" + strings.ReplaceAll(s.Prefix(), ".", "-")
	}
	return Streams{
		Jobs: "RBEE_JOBS" + suffix, Results: "RBEE_RESULTS" + suffix, Narration: "RBEE_NARRATION" + suffix, Dead: "RBEE_DEAD" + suffix,
		subjects: s,
	}
}

// JobSubjects is what the stream of jobs takes: every queued job of every hive.
func (s Streams) JobSubjects() string { return s.subjects.join("job", ">") }

// HiveJobs is what the consumer of one hive takes of the stream of jobs: every operation, every job.
func (s Streams) HiveJobs(hive string) string { return s.subjects.join("job", hive, "", "") }

// ResultSubjects is what the stream of results takes.
func (s Streams) ResultSubjects() string { return s.subjects.join("result", ">") }

// NarrationSubjects is what the stream of narration takes.
func (s Streams) NarrationSubjects() string { return s.subjects.join("narration", ">") }

// DeadSubjects is what the stream of the dead takes: the advisories of the server about the consumers of the stream of jobs,
// and the traces that queens leave.
func (s Streams) DeadSubjects() []string {
	return []string{s.Terminated("*"), s.Exhausted("*"), s.subjects.join("trace", ">")}
}

// Terminated is where the server says that a hive gave up a job for good.
func (s Streams) Terminated(hive string) string {
	return "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + s.Jobs + "." + hive
}

// Exhausted is where the server says that it delivered a job to a hive as often as it may.
func (s Streams) Exhausted(hive string) string {
	return "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + s.Jobs + "." + hive
}

// Consumer is the name of a hive's durable consumer of the stream of jobs. It is the hive's id, which is one word already.
func (s Streams) Consumer(hive string) string { return hive }
