package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestWhatIsTooLargeIsCutWhereItMattersLeast(t *testing.T) {
	t.Parallel()
	log, paths := make([]string, 500), make([]string, 500)
	for i := range log {
		log[i] = fmt.Sprintf("%04d %s", i, strings.Repeat("x", 100))
		paths[i] = fmt.Sprintf("/%04d/%s", i, strings.Repeat("y", 100))
	}
	const text = "exited with 1"
	cases := map[string]struct {
		err   messages.Error
		check func(t *testing.T, got *messages.Error)
	}{
		"the older lines of the log go first": {messages.Error{Message: text, LogTail: log, Tried: paths[:2]}, func(t *testing.T, got *messages.Error) {
			require.Equal(t, text, got.Message)
			require.Equal(t, paths[:2], got.Tried)
			require.Greater(t, len(got.LogTail), 50)
			require.Equal(t, log[len(log)-len(got.LogTail):], got.LogTail)
		}},
		"then the last paths": {messages.Error{Message: text, LogTail: log, Tried: paths}, func(t *testing.T, got *messages.Error) {
			require.Equal(t, text, got.Message)
			require.Empty(t, got.LogTail)
			require.Greater(t, len(got.Tried), 50)
			require.Equal(t, paths[:len(got.Tried)], got.Tried)
		}},
		"then the end of the message": {messages.Error{Message: strings.Repeat("ä", 1<<15), LogTail: log}, func(t *testing.T, got *messages.Error) {
			require.Greater(t, len(got.Message), 2000)
			require.Equal(t, "…", strings.Trim(got.Message, "ä"))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := configured(t, "max_payload: 16KB")
			w := tap(t, srv.URL())
			tc.err.Code = messages.WorkerExited
			serve(t, srv.URL(), spawnFunc(func(context.Context, messages.Job, func(messages.Event), consumer.Waiting) (messages.Result, error) {
				return messages.Result{}, &tc.err
			}), consumer.Config{})

			reply := w.send(t, llama)
			e := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.job-1."))
			require.True(t, e.Terminal)
			tc.check(t, e.Fields.Error)
			require.Contains(t, e.Human, e.Fields.Error.Message)
			msg := w.next(t, reply)
			tc.check(t, failureOf(t, msg).Err)
			require.LessOrEqual(t, len(msg.Header.Get("Nats-Service-Error")), 512)
		})
	}
}

func TestEventThatCannotBePublishedLeavesNoGapAndFailsNothing(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	w := tap(t, srv.URL())
	serve(t, srv.URL(), spawnFunc(func(_ context.Context, job messages.Job, emit func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
		emit(messages.Event{Action: messages.ActionSpawnStart})
		emit(messages.Event{Action: messages.ActionSpawnCommand, Human: strings.Repeat("x", 2<<20)})
		emit(messages.Event{Action: "two words"})
		emit(messages.Event{Action: "many.*"})
		emit(messages.Event{})
		emit(messages.Event{Action: messages.ActionSpawned})
		return resultOf(job), nil
	}), consumer.Config{})

	reply := w.send(t, llama)
	for i, action := range []messages.Action{messages.ActionSpawnStart, messages.ActionSpawned, messages.ActionSpawnComplete} {
		e := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.job-1."))
		require.Equal(t, action, e.Action)
		require.Equal(t, i+1, e.Seq)
	}
	resultFrom(t, w.next(t, reply))
}
