package consumer

import (
	"fmt"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// story narrates one job. Its events carry 1, 2, 3 … in the order in which they are published, whichever goroutines tell
// them, and nothing follows the last one.
type story struct {
	narrator *Narrator
	courier  *courier
	job      string
	worker   string // empty if the job never had one
	deletes  bool   // the job ends a worker
	subject  string // but for the action

	mu      sync.Mutex
	seq     int
	attempt int
	ended   bool
	held    []heldEvent // told and not yet published
	text    []byte      // the events in held, one behind the other
}

// heldEvent is an event ready to be published.
type heldEvent struct {
	action messages.Action
	end    int // where it ends in the story's text; it begins where the one before it ends
}

// A spawn tells seven events of about 500 bytes.
const (
	eventsPerJob = 8
	textPerJob   = 4 << 10
)

func (h *hive) story(job messages.Job) *story {
	n := h.narrator
	return &story{
		narrator: n, courier: h.courier, job: job.JobID, worker: job.WorkerID, deletes: job.Operation == messages.WorkerDelete,
		subject: n.jobSubject(job.JobID), attempt: 1,
		held: make([]heldEvent, 0, eventsPerJob), text: make([]byte, 0, textPerJob),
	}
}

// tell publishes one step of the job. An event that comes after the end, or claims to be it, is dropped.
func (s *story) tell(e messages.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || ends(e.Action) {
		s.narrator.log.Debug("event outside its job's story dropped", "job", s.job, "worker", s.worker, "action", e.Action)
		return
	}
	e.Terminal = false
	s.hold(e)
	if len(s.held) == 1 {
		s.courier.call(s)
	}
}

// repeats reports whether the story is of a job that was at work before.
func (s *story) repeats() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempt > 1
}

// ends reports whether only the consumer may tell the action: that a job has ended.
func ends(action messages.Action) bool {
	switch action {
	case messages.ActionSpawnComplete, messages.ActionSpawnFailed, messages.ActionDeleteComplete, messages.ActionDeleteFailed:
		return true
	}
	return false
}

// end publishes the last event of the job.
func (s *story) end(e messages.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Terminal = true
	s.hold(e)
	s.ended = true
	s.courier.dismiss(s)
	s.publish()
}

// retry ends the story of an attempt whose job goes back into the queue for a while; the job goes on.
func (s *story) retry(e *messages.Error, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold(messages.Event{
		Action: messages.ActionRetry, Level: messages.LevelWarn,
		Human:  fmt.Sprintf("Job '%s' goes back into the queue for %s (attempt %d): %s", s.job, pause.Round(time.Millisecond), s.attempt, messages.OneLine(e.Error())),
		Fields: messages.Fields{Error: &messages.Error{Code: e.Code, Message: clip(e.Message, maxHeader), Retryable: true}},
	})
	s.ended = true
	s.courier.dismiss(s)
	s.publish()
}

// hold numbers e and puts it behind those held. One that cannot travel is dropped and leaves no gap.
func (s *story) hold(e messages.Event) {
	s.attempt = max(s.attempt, e.Attempt)
	e.Seq, e.Attempt = s.seq+1, s.attempt
	e.HiveID, e.JobID = s.narrator.hiveID, s.job
	if e.WorkerID == "" {
		e.WorkerID = s.worker
	}
	text, err := s.narrator.encode(s.text, e)
	if err != nil {
		s.narrator.dropped(e, err)
		return
	}
	s.seq++
	s.text = text
	s.held = append(s.held, heldEvent{action: e.Action, end: len(text)})
}

// release publishes what is held.
func (s *story) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publish()
}

func (s *story) publish() {
	begin := 0
	for _, e := range s.held {
		if err := s.narrator.nc.Publish(s.subject+string(e.action), s.text[begin:e.end]); err != nil {
			s.narrator.dropped(messages.Event{JobID: s.job, WorkerID: s.worker, Action: e.action}, err)
		}
		begin = e.end
	}
	s.held, s.text = s.held[:0], s.text[:0]
}

// complete ends the story of a job whose worker runs.
func (s *story) complete(r messages.Result, took time.Duration) {
	level, human := messages.LevelInfo, fmt.Sprintf("✅ Worker spawned: %s (PID: %d)", r.WorkerID, r.PID)
	if r.Ended {
		level = messages.LevelWarn
		human = fmt.Sprintf("Worker spawned before and ended since: %s (PID: %d); another job_id starts another", r.WorkerID, r.PID)
	}
	s.end(messages.Event{
		Action: messages.ActionSpawnComplete, Level: level, Human: human,
		Fields: messages.Fields{
			Model: messages.Redact(r.Model), Device: r.Device, Port: r.Port, WorkerType: r.WorkerType, BinaryPath: r.BinaryPath,
			Source: r.Source, Worker: r.Worker, Version: r.Version, PID: r.PID, LogPath: r.LogPath, TookMS: took.Milliseconds(),
		},
	})
}

// deleted ends the story of a job whose worker is gone.
func (s *story) deleted(d messages.Deleted) {
	processes := "1 process"
	if d.Processes != 1 {
		processes = fmt.Sprintf("%d processes", d.Processes)
	}
	s.end(messages.Event{
		Action: messages.ActionDeleteComplete,
		Human:  fmt.Sprintf("✅ Worker deleted: %s (PID: %d): %s ended %s in %d ms", d.WorkerID, d.PID, d.Signal, processes, d.TookMS),
		Fields: messages.Fields{PID: d.PID, Signal: d.Signal, Processes: d.Processes, ExitCode: d.ExitCode, TookMS: d.TookMS},
	})
}

// fail ends the story of a job that failed. An error too long for an event of limit bytes is cut as [shorten] cuts it.
func (s *story) fail(e *messages.Error, took time.Duration, limit int) {
	event := func(e *messages.Error) messages.Event {
		return messages.Event{
			Action: s.failed(), Level: messages.LevelError, Human: "❌ " + s.about(e) + ": " + messages.OneLine(e.Error()),
			Fields: messages.Fields{Error: e, TookMS: took.Milliseconds()},
		}
	}
	// What publishing adds to the event is shorter than this.
	const envelope = 1 << 10
	s.end(event(shorten(e, limit-envelope, func(e *messages.Error) ([]byte, error) { return event(e).Encode() })))
}

// failed is the action that says that the job failed.
func (s *story) failed() messages.Action {
	if s.deletes {
		return messages.ActionDeleteFailed
	}
	return messages.ActionSpawnFailed
}

// about says what the error is about, in a few words.
func (s *story) about(e *messages.Error) string {
	switch {
	case s.worker == "":
		return fmt.Sprintf("Job '%s' refused", s.job)
	case s.deletes:
		return fmt.Sprintf("Worker '%s' not deleted", s.worker)
	case e.Code == messages.NotReady:
		return fmt.Sprintf("Worker '%s' runs and is not ready", s.worker)
	}
	return fmt.Sprintf("Worker '%s' not spawned", s.worker)
}
