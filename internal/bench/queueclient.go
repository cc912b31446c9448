//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// queuer queues jobs and takes their results, each as soon as the hive publishes it. Its words name a fleet by its prefix, and
// behind a slash one of its hives.
type queuer struct {
	client
	js     jetstream.JetStream
	fleets map[string]*queueFleet
}

// queueFleet is what a queuer knows of one fleet.
type queueFleet struct {
	subjects messages.Subjects
	queen    *queen.Client

	mu      sync.Mutex
	waiting map[string]chan<- *nats.Msg // by the subject of the result
}

func newQueuer(nc *nats.Conn) (*queuer, error) {
	js, err := jetstream.New(nc)
	return &queuer{client: client{nc: nc}, js: js, fleets: make(map[string]*queueFleet)}, err
}

func (q *queuer) answer(verb string, n, at int, word string) (any, error) {
	prefix, hive, _ := strings.Cut(word, "/")
	switch verb {
	case "apply":
		return true, q.apply(prefix)
	case "queued":
		return q.queued(q.fleets[prefix], hive, n)
	case "drain":
		return q.drain(q.fleets[prefix], hive, n)
	}
	return q.client.answer(verb, n, at, word)
}

// apply makes the streams of a fleet, as rbee streams apply does, and listens to its results.
func (q *queuer) apply(prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	subjects, err := messages.NewSubjects(prefix)
	if err != nil {
		return err
	}
	f := &queueFleet{subjects: subjects, queen: queen.New(q.nc, queen.Config{Subjects: subjects}), waiting: make(map[string]chan<- *nats.Msg)}
	if _, err := f.queen.Apply(ctx, queen.StreamsConfig{}, false); err != nil {
		return err
	}
	if _, err := q.nc.Subscribe(subjects.Streams().ResultSubjects(), f.arrived); err != nil {
		return err
	}
	q.fleets[prefix] = f
	return q.nc.Flush()
}

// await has the result of a job sent to results.
func (f *queueFleet) await(subject string, results chan<- *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting[subject] = results
}

func (f *queueFleet) arrived(msg *nats.Msg) {
	f.mu.Lock()
	results := f.waiting[msg.Subject]
	delete(f.waiting, msg.Subject)
	f.mu.Unlock()
	if results != nil {
		results <- msg
	}
}

// queuedJob is a job for a hive, as it stands in its queue.
func (f *queueFleet) queuedJob(hive string) (id string, msg *nats.Msg, err error) {
	id = messages.NewJobID()
	data, err := messages.Job{Operation: messages.WorkerSpawn, JobID: id, HiveID: hive, Model: "tiny", Device: "cpu", Version: "0.1.0"}.Encode()
	return id, &nats.Msg{Subject: f.subjects.Queued(hive, messages.WorkerSpawn, id), Data: data}, err
}

// queued queues n jobs, each when the result of the one before is there. What is measured begins with the publication and ends
// when the stream has acknowledged the job and its result is here.
func (q *queuer) queued(f *queueFleet, hive string, n int) (sample, error) {
	results := make(chan *nats.Msg, 1)
	s, err := measure(n, 1, func() error {
		id, msg, err := f.queuedJob(hive)
		if err != nil {
			return err
		}
		f.await(f.subjects.Result(hive, id), results)
		if _, err := q.js.PublishMsg(context.Background(), msg); err != nil {
			return err
		}
		return q.remember(results)
	})
	return s, err
}

// remember waits for a result, and keeps its worker.
func (q *queuer) remember(results <-chan *nats.Msg) error {
	select {
	case msg := <-results:
		result, err := messages.DecodeResult(msg.Data)
		if err != nil {
			return fmt.Errorf("result on %s: %w", msg.Subject, err)
		}
		if result.PID != 0 {
			q.workers = append(q.workers, worker{result.WorkerID, result.PID})
		}
		return nil
	case <-time.After(patience):
		return errors.New("no result came")
	}
}

// pauseBefore is how long the queue stays closed once it is full.
const pauseBefore = 100 * time.Millisecond

// drain queues n jobs while the server hands out none, and measures from the moment on that it does until all results are here. The
// queue must be empty then.
func (q *queuer) drain(f *queueFleet, hive string, n int) (s sample, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	if _, err := f.queen.Pause(ctx, hive, 0); err != nil {
		return s, err
	}
	results := make(chan *nats.Msg, n)
	for range n {
		id, msg, err := f.queuedJob(hive)
		if err != nil {
			return s, err
		}
		f.await(f.subjects.Result(hive, id), results)
		if _, err := q.js.PublishMsgAsync(msg); err != nil {
			return s, err
		}
	}
	select {
	case <-q.js.PublishAsyncComplete():
	case <-ctx.Done():
		return s, ctx.Err()
	}
	// A pause that comes to its end wakes up the server; one that is taken back does not.
	begin, err := f.queen.Pause(ctx, hive, pauseBefore)
	if err != nil {
		return s, err
	}
	for range n {
		if err := q.remember(results); err != nil {
			return s, err
		}
	}
	s.All = time.Since(begin)
	return s, q.empty(ctx, f)
}

// empty returns when nothing is left in the queue of a fleet.
func (q *queuer) empty(ctx context.Context, f *queueFleet) error {
	stream, err := q.js.Stream(ctx, f.subjects.Streams().Jobs)
	if err != nil {
		return err
	}
	for {
		info, err := stream.Info(ctx)
		if err != nil || info.State.Msgs == 0 {
			return err
		}
	}
}
