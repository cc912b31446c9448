package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// deleting plays a hive that says how long its worker has, if that is more than 0, and answers when it is told to.
func deleting(t *testing.T, grace time.Duration, answer <-chan struct{}) *queen.Client {
	t.Helper()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	var subjects messages.Subjects
	_, err := nc.Subscribe(subjects.Request("gpu-1", messages.WorkerDelete), func(req *nats.Msg) {
		job, err := messages.DecodeDelete(req.Data, messages.WorkerDelete)
		if err != nil {
			t.Error(err)
			return
		}
		if grace > 0 {
			e := messages.Event{
				Seq: 1, Action: messages.ActionDeleteStart, HiveID: "gpu-1", JobID: job.JobID, WorkerID: "w1", Attempt: 1, Human: "Deleting",
				Fields: messages.Fields{GraceMS: grace.Milliseconds()},
			}
			e.Stamp(time.Now())
			data, _ := e.Encode()
			_ = nc.Publish(subjects.Narration("gpu-1", job.JobID, e.Action), data)
		}
		go func() {
			<-answer
			data, _ := messages.Deleted{JobID: job.JobID, HiveID: "gpu-1", WorkerID: "w1", PID: 2, Signal: "SIGTERM", Processes: 1}.Encode()
			_ = req.Respond(data)
		}()
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	return queen.New(natstest.Dial(t, server.URL()), queen.Config{})
}

// remove has f end the worker w1.
func remove(t *testing.T, f *removeFlags, client *queen.Client) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	cmd := &cobra.Command{Use: "rm"}
	cmd.SetContext(t.Context())
	cmd.SetOut(&out)
	f.output = cli.AddOutput(cmd)
	job := messages.DeleteJob{WorkerID: "w1", JobID: "job-1"}
	err = f.ask(cmd, client, "gpu-1", job, func(messages.Event) {})
	return out.String(), err
}

// A manifest can give a worker more time than anybody would wait by default.
func TestRemoveWaitsAsLongAsTheHiveSays(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	const impatient = time.Second
	time.AfterFunc(impatient+impatient/4, func() { close(answer) })
	out, err := remove(t, &removeFlags{timeout: impatient}, deleting(t, time.Hour, answer))
	require.NoError(t, err)
	require.Contains(t, out, "worker w1 of hive gpu-1 (pid 2) is gone")
}

func TestRemoveThatIsNotWaitedForGoesOn(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	const goesOn = ": `rbee workers get w1 --hive gpu-1` shows whether it has, `rbee workers rm w1 --hive gpu-1 --now` ends it at once"
	for name, test := range map[string]struct {
		grace time.Duration
		says  string
	}{
		"begun":        {time.Hour, "no answer within 1s (--timeout); the hive goes on ending the worker" + goesOn},
		"nobody knows": {0, "no answer within 1s (--timeout); the hive may end the worker all the same" + goesOn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &removeFlags{timeout: time.Second, wait: time.Second}
			_, err := remove(t, f, deleting(t, test.grace, never))
			require.EqualError(t, err, test.says)
		})
	}
}

func TestGraceOfNothingIsNoDefault(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flags removeFlags
		ms    int64
	}{
		"the default":    {removeFlags{}, 0},
		"now":            {removeFlags{now: true}, 1},
		"hardly any":     {removeFlags{grace: time.Microsecond}, 1},
		"ten minutes":    {removeFlags{grace: 10 * time.Minute}, 600_000},
		"all there is":   {removeFlags{grace: time.Hour}, 3_600_000},
		"now, repeated":  {removeFlags{now: true, grace: 0}, 1},
		"with a timeout": {removeFlags{grace: time.Second, timeout: time.Minute}, 1000},
	} {
		job, err := test.flags.job("w1")
		require.NoError(t, err, name)
		require.Equal(t, test.ms, job.GraceMS, name)
	}
}
