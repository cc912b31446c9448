package queen

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/rbee-keeper/hive/messages"
)

// subject is what a job is about, as its message says it, its result, or the fields of an event.
type subject struct {
	Operation messages.Operation `json:"operation"`
	WorkerID  string             `json:"worker_id"`
	Model     string             `json:"model"`
	Device    string             `json:"device"`
}

// about adds what the job is about, as far as that was not known.
func (j *QueuedJob) about(s subject) {
	j.Operation = cmp.Or(j.Operation, s.Operation)
	j.WorkerID, j.Model, j.Device = cmp.Or(j.WorkerID, s.WorkerID), cmp.Or(j.Model, s.Model), cmp.Or(j.Device, s.Device)
}

// asks adds what the job asks for, and reports whether its message can be read. A spawn that names no worker means the one that its
// hive makes the id of.
func (j *QueuedJob) asks(message []byte) bool {
	var s subject
	if json.Unmarshal(message, &s) != nil {
		return false
	}
	j.about(s)
	if j.Operation == messages.WorkerSpawn {
		j.WorkerID = cmp.Or(j.WorkerID, messages.WorkerID(j.HiveID, j.JobID))
	}
	return true
}

// Bounds of what is asked for at once: the server answers one request with 1,024 messages at most.
const (
	storiesAtOnce = 300
	tracesAtOnce  = 16
)

// inform adds to jobs whose result does not say it, which is a failure, what they were about: their story says it, or the trace of who
// queued them. It is help: what is not kept, or cannot be read, is left out.
func (a *archive) inform(ctx context.Context, jobs []QueuedJob) {
	wanting := map[jobName]*QueuedJob{}
	for i := range jobs {
		if jobs[i].Operation == "" {
			wanting[jobName{jobs[i].HiveID, jobs[i].JobID}] = &jobs[i]
		}
	}
	for part := range slices.Chunk(slices.Collect(maps.Values(wanting)), storiesAtOnce) {
		a.readEnds(ctx, part)
	}
	slots := make(chan struct{}, tracesAtOnce)
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, job := range wanting {
		if job.Model != "" || job.Operation == messages.WorkerDelete {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			trace, err := a.last(ctx, a.dead, a.subjects.Trace(job.HiveID, job.JobID, messages.TraceQueued))
			if err == nil && trace != nil && !repeated(trace.Header) {
				job.asks(trace.Data)
			}
		})
	}
}

// readEnds adds to jobs what the events say in which a hive tells of what it starts, and that a job failed.
func (a *archive) readEnds(ctx context.Context, jobs []*QueuedJob) {
	by := map[string]*QueuedJob{}
	request := directGet{}
	for _, job := range jobs {
		for _, action := range []messages.Action{messages.ActionSpawnStart, messages.ActionSpawnFailed, messages.ActionDeleteFailed} {
			subject := a.subjects.Narration(job.HiveID, job.JobID, action)
			by[subject] = job
			request.LastOfEach = append(request.LastOfEach, subject)
		}
	}
	request.Batch = len(request.LastOfEach)
	found, _, err := a.getDirect(ctx, a.names.Narration, request)
	if err != nil {
		return
	}
	for _, msg := range found {
		job, known := by[msg.Subject]
		var event struct {
			Action   messages.Action `json:"action"`
			WorkerID string          `json:"worker_id"`
			Fields   subject         `json:"fields"`
		}
		if !known || repeated(msg.Header) || json.Unmarshal(msg.Data, &event) != nil {
			continue
		}
		event.Fields.Operation, event.Fields.WorkerID = messages.WorkerSpawn, event.WorkerID
		if event.Action == messages.ActionDeleteFailed {
			event.Fields.Operation = messages.WorkerDelete
		}
		job.about(event.Fields)
	}
}
