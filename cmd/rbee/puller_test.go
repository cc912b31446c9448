package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/messages"
)

// puller plays a hive that takes jobs from the queue, one after the other.
type puller struct {
	id       string
	nc       *nats.Conn
	js       jetstream.JetStream
	subjects messages.Subjects
}

// runPuller starts a hive that takes queued jobs for the rest of the script: puller ID. A job for the model "bad" fails, one for
// the model "hold" is taken and never finished, and any other has a worker.
func runPuller(ts *testscript.TestScript, _ bool, args []string) {
	nc, err := nats.Connect(ts.Getenv("NATS_URL"), nats.Timeout(proctest.Patience))
	ts.Check(err)
	p := &puller{id: args[0], nc: nc}
	p.js, err = jetstream.New(nc)
	ts.Check(err)
	streams := p.subjects.Streams()
	consumer, err := p.js.CreateConsumer(context.Background(), streams.Jobs, jetstream.ConsumerConfig{
		Durable: streams.Consumer(p.id), FilterSubject: streams.HiveJobs(p.id), AckPolicy: jetstream.AckExplicitPolicy,
	})
	ts.Check(err)
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1))
	ts.Check(err)
	var pulling sync.WaitGroup
	pulling.Go(func() {
		for {
			msg, err := messages.Next()
			if err != nil {
				return
			}
			if err := p.run(msg); err != nil {
				fmt.Fprintln(os.Stderr, "puller:", err)
				return
			}
		}
	})
	ts.Defer(func() {
		messages.Stop()
		pulling.Wait()
		nc.Close()
	})
}

// run does what the model says.
func (p *puller) run(msg jetstream.Msg) error {
	var job messages.Job
	if err := json.Unmarshal(msg.Data(), &job); err != nil {
		return err
	}
	if job.Model == "hold" {
		return nil
	}
	actions := []messages.Action{messages.ActionSpawnStart, messages.ActionSpawnComplete}
	var outcome interface{ Encode() ([]byte, error) } = messages.Result{
		JobID: job.JobID, HiveID: p.id, WorkerID: "worker-" + job.JobID, PID: 4242, Port: 9001, Device: job.Device, Model: job.Model, Source: "catalog",
	}
	if job.Model == "bad" {
		actions[1] = messages.ActionSpawnFailed
		outcome = messages.Failure{JobID: job.JobID, HiveID: p.id, Err: messages.Errorf(messages.PortInUse, "port 9001 is taken")}
	}
	for i, action := range actions {
		event := messages.Event{
			Seq: i + 1, Action: action, HiveID: p.id, JobID: job.JobID, WorkerID: "worker-" + job.JobID, Attempt: 1,
			Terminal: i == len(actions)-1, Human: "told: " + string(action),
		}
		event.Stamp(time.Now())
		data, err := event.Encode()
		if err != nil {
			return err
		}
		if err := p.nc.Publish(p.subjects.Narration(p.id, job.JobID, action), data); err != nil {
			return err
		}
	}
	data, err := outcome.Encode()
	if err != nil {
		return err
	}
	if _, err := p.js.Publish(context.Background(), p.subjects.Result(p.id, job.JobID), data); err != nil {
		return err
	}
	return msg.DoubleAck(context.Background())
}
