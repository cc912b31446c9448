package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// What comes while the hive leaves goes back. Where the server would deliver it no more, it would stay in the queue for ever, so its
// caller is told.
func TestAJobThatComesTooLateIsNotStrandedAtItsLastAttempt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attempts, left int
	}{
		"the last attempt": {1, 0},
		"one of two":       {2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := natstest.Connect(t)
			js := natstest.JetStream(t, nc)
			s := messages.Subjects{}.Streams()
			jobs, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: s.Jobs, Subjects: []string{s.JobSubjects()}, Retention: jetstream.WorkQueuePolicy})
			require.NoError(t, err)
			results, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: s.Results, Subjects: []string{s.ResultSubjects()}, AllowDirect: true})
			require.NoError(t, err)
			_, err = jobs.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
				Durable: "gpu-1", FilterSubject: s.HiveJobs("gpu-1"), AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute, MaxDeliver: test.attempts,
			})
			require.NoError(t, err)
			cfg, err := Config{HiveID: "gpu-1", MaxJobs: 1, Queue: QueueRequired}.withDefaults()
			require.NoError(t, err)
			h := newHive(nc, nil, cfg) // nothing comes to the spawner
			h.js = js
			src, err := h.bind(t.Context())
			require.NoError(t, err)
			_, err = js.Publish(t.Context(), "rbee.v1.job.gpu-1.worker_spawn.job-1", []byte(`{"model":"m","device":"cpu"}`))
			require.NoError(t, err)

			place, err := h.awaitTurn(t.Context())
			require.NoError(t, err)
			p := &puller{nc: nc, src: src, made: make(chan nats.Status)}
			came, err := p.next(t.Context(), place.recalled, true, 1, func(msg *nats.Msg) {
				h.line.close()
				h.startPulled(t.Context(), context.Background(), src, place, msg)
			})
			require.NoError(t, err)
			require.Equal(t, 1, came)
			place.giveBack()
			h.tasks.leave()
			<-h.tasks.ended()
			require.NoError(t, nc.Flush())

			info, err := jobs.Info(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, test.left, info.State.Msgs)
			msg, err := results.GetLastMsgForSubject(t.Context(), "rbee.v1.result.gpu-1.job-1")
			if test.left > 0 {
				require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
				return
			}
			require.NoError(t, err)
			_, err = messages.DecodeResult(msg.Data)
			require.ErrorIs(t, err, messages.HiveDraining)
		})
	}
}
