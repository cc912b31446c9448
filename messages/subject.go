package messages

import (
	"fmt"
	"regexp"
	"strings"
)

// DefaultPrefix begins every subject unless a setting says otherwise.
const DefaultPrefix = "rbee.v1"

// Words that stand in a narration subject where a job's id would, for events that belong to no job. No id can be one of them.
const (
	// AboutHive marks the events of a hive itself: hive_started, hive_draining, hive_stopped.
	AboutHive = "@hive"
	// AboutWorker marks the events of a worker whose job has been answered: worker_exited.
	AboutWorker = "@worker"
)

// Trace names what a queen did with a queued job.
type Trace string

// The traces of a job.
const (
	// TraceQueued carries the job as it was queued.
	TraceQueued Trace = "queued"
	// TraceCancelled carries the job as it was taken out of the queue, unseen by its hive.
	TraceCancelled Trace = "cancelled"
)

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}$`)

// Subjects names every subject of one fleet. The zero value uses [DefaultPrefix]. Its methods take ids that [CheckID]
// accepts; where a filter is meant, "" stands for any.
type Subjects struct {
	prefix string
}

// NewSubjects returns the subjects below prefix, so that several fleets can share one NATS account. "" means
// [DefaultPrefix]. A prefix is one to eight ids joined by dots; anything else is an error.
func NewSubjects(prefix string) (Subjects, error) {
	if prefix != "" && !prefixPattern.MatchString(prefix) {
		return Subjects{}, fmt.Errorf("subject prefix %q: use 1 to 8 words of letters, digits, '_' or '-', joined by dots, like %s", prefix, DefaultPrefix)
	}
	return Subjects{prefix: prefix}, nil
}

// Prefix returns what every subject begins with.
func (s Subjects) Prefix() string {
	if s.prefix == "" {
		return DefaultPrefix
	}
	return s.prefix
}

// Request is where a hive takes a job that its caller waits for (core request and reply).
func (s Subjects) Request(hive string, op Operation) string {
	return s.join("hive", hive, string(op))
}

// Queued is where a job waits until its hive takes it (JetStream work queue).
func (s Subjects) Queued(hive string, op Operation, job string) string {
	return s.join("job", hive, string(op), job)
}

// Result is where the outcome of a job is published.
func (s Subjects) Result(hive, job string) string {
	return s.join("result", hive, job)
}

// Narration is where one event is published. Use [AboutHive] or [AboutWorker] as the job of an event that has none.
func (s Subjects) Narration(hive, job string, action Action) string {
	return s.join("narration", hive, job, string(action))
}

// Trace is where a queen says what she did with a queued job, so that it is known after the job has left the queue. "" stands
// for any.
func (s Subjects) Trace(hive, job string, what Trace) string {
	return s.join("trace", hive, job, string(what))
}

// Operation returns the operation that a request subject names: its last word.
func (s Subjects) Operation(subject string) Operation {
	return Operation(subject[strings.LastIndexByte(subject, '.')+1:])
}

func (s Subjects) join(words ...string) string {
	var b strings.Builder
	b.WriteString(s.Prefix())
	for _, word := range words {
		b.WriteByte('.')
		if word == "" {
			word = "*"
		}
		b.WriteString(word)
	}
	return b.String()
}
