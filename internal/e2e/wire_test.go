//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// The messages as docs/wire.md has them, written down once more: the tests are a client of their own.
type (
	// answer is a result or a failure.
	answer struct {
		JobID      string    `json:"job_id"`
		HiveID     string    `json:"hive_id"`
		WorkerID   string    `json:"worker_id"`
		PID        int       `json:"pid"`
		Port       int       `json:"port"`
		BinaryPath string    `json:"binary_path"`
		WorkerType string    `json:"worker_type"`
		Worker     string    `json:"worker"`
		Version    string    `json:"version"`
		Source     string    `json:"source"`
		Device     string    `json:"device"`
		Model      string    `json:"model"`
		StartedAt  time.Time `json:"started_at"`
		LogPath    string    `json:"log_path"`
		Replayed   bool      `json:"replayed"`
		Error      *failure  `json:"error"`

		header nats.Header
	}
	failure struct {
		Code      string   `json:"code"`
		Message   string   `json:"message"`
		ExitCode  *int     `json:"exit_code"`
		Signal    string   `json:"signal"`
		LogTail   []string `json:"log_tail"`
		LogPath   string   `json:"log_path"`
		LivedMS   int64    `json:"lived_ms"`
		Command   []string `json:"command"`
		OOMKilled bool     `json:"oom_killed"`
		Tried     []string `json:"tried"`
		Devices   []string `json:"devices"`
		Retryable bool     `json:"retryable"`
	}
	event struct {
		Type     string    `json:"type"`
		ID       string    `json:"id"`
		Seq      int       `json:"seq"`
		Time     time.Time `json:"time"`
		Level    string    `json:"level"`
		Actor    string    `json:"actor"`
		Action   string    `json:"action"`
		Target   string    `json:"target"`
		HiveID   string    `json:"hive_id"`
		JobID    string    `json:"job_id"`
		WorkerID string    `json:"worker_id"`
		Attempt  int       `json:"attempt"`
		Terminal bool      `json:"terminal"`
		Human    string    `json:"human"`
		Fields   struct {
			PID       int      `json:"pid"`
			StartedBy string   `json:"started_by"`
			Signal    string   `json:"signal"`
			Processes int      `json:"processes"`
			Jobs      int      `json:"jobs"`
			Error     *failure `json:"error"`
		} `json:"fields"`
	}
)

// answerFrom reads an answer, which must be whole: a result or a failure, with its headers.
func answerFrom(msg *nats.Msg) (answer, error) {
	a := answer{header: msg.Header}
	dec := json.NewDecoder(bytes.NewReader(msg.Data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return a, fmt.Errorf("%w in %s", err, msg.Data)
	}
	if a.Error == nil && (a.PID == 0 || a.Port == 0 || a.WorkerID == "" || a.BinaryPath == "") {
		return a, fmt.Errorf("neither a result nor a failure: %s", msg.Data)
	}
	if msg.Header.Get("Rbee-Job-Id") != a.JobID || msg.Header.Get("Rbee-Hive-Id") != a.HiveID || a.JobID == "" || a.HiveID == "" {
		return a, fmt.Errorf("headers %v of %s", msg.Header, msg.Data)
	}
	return a, nil
}

// request sends a job to a hive and returns the answer.
func request(ctx context.Context, nc *nats.Conn, hive, job string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, "rbee.v1.hive."+hive+".worker_spawn", []byte(job))
	if err != nil {
		return answer{}, err
	}
	return answerFrom(msg)
}

// insist sends a job until it is answered, as a client does who knows its job id: again when no answer came, and when the
// answer is that the same job may succeed later.
func insist(ctx context.Context, nc *nats.Conn, hive, job string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		attempt, end := context.WithTimeout(ctx, 2*time.Second)
		a, err := request(attempt, nc, hive, job)
		end()
		if err == nil && (a.Error == nil || !a.Error.Retryable) {
			return a, nil
		}
		if err == nil {
			err = errors.New(a.Error.Code)
		}
		select {
		case <-ctx.Done():
			return a, fmt.Errorf("%w, at last %w", context.Cause(ctx), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// spawn sends a job to a hive and returns the result.
func spawn(t *testing.T, nc *nats.Conn, hive, job string) answer {
	t.Helper()
	a, err := request(t.Context(), nc, hive, job)
	require.NoError(t, err)
	require.Nil(t, a.Error, job)
	return a
}

// jobFor returns a job for a hive whose worker plays a model.
func jobFor(id, model string) string {
	return fmt.Sprintf(`{"operation":"worker_spawn","job_id":%q,"model":%q,"device":"cpu"}`, id, model)
}

// tap is a connection that hears messages in the order in which the server passes them on, whatever their subjects.
type tap struct {
	t      *testing.T
	nc     *nats.Conn
	heard  chan *nats.Msg
	passed []*nats.Msg // heard and not yet asked for
}

// listen taps the subjects of some filters.
func listen(t *testing.T, url string, filters ...string) *tap {
	t.Helper()
	w := &tap{t: t, nc: natstest.Dial(t, url), heard: make(chan *nats.Msg, 1<<16)}
	for _, filter := range filters {
		_, err := w.nc.ChanSubscribe(filter, w.heard)
		require.NoError(t, err)
	}
	require.NoError(t, w.nc.Flush())
	return w
}

// next returns the first message whose subject begins with prefix and that was not returned before. The others stay.
func (w *tap) next(prefix string) *nats.Msg {
	w.t.Helper()
	meant := func(msg *nats.Msg) bool { return strings.HasPrefix(msg.Subject, prefix) }
	if i := slices.IndexFunc(w.passed, meant); i >= 0 {
		msg := w.passed[i]
		w.passed = slices.Delete(w.passed, i, i+1)
		return msg
	}
	late := time.After(patience)
	for {
		select {
		case msg := <-w.heard:
			if meant(msg) {
				return msg
			}
			w.passed = append(w.passed, msg)
		case <-late:
			require.FailNow(w.t, "nothing came on "+prefix)
		}
	}
}

// event returns the next event whose subject begins with prefix.
func (w *tap) event(prefix string) event {
	w.t.Helper()
	return eventFrom(w.t, w.next(prefix))
}

func eventFrom(t *testing.T, msg *nats.Msg) event {
	t.Helper()
	var e event
	require.NoError(t, json.Unmarshal(msg.Data, &e), string(msg.Data))
	return e
}

// answer returns the next answer on subject.
func (w *tap) answer(subject string) answer {
	w.t.Helper()
	a, err := answerFrom(w.next(subject))
	require.NoError(w.t, err)
	return a
}

// failure returns the failure of the next answer on subject, which must have this code.
func (w *tap) failure(subject, code, status string) *failure {
	w.t.Helper()
	a := w.answer(subject)
	require.NotNil(w.t, a.Error, a)
	require.Equal(w.t, code, a.Error.Code, a.Error.Message)
	require.Equal(w.t, status, a.header.Get("Nats-Service-Error-Code"))
	short, isShort := strings.CutSuffix(a.header.Get("Nats-Service-Error"), "…")
	if isShort {
		require.Less(w.t, len(short), 512)
	}
	require.True(w.t, strings.HasPrefix(a.Error.Message, short) && (isShort || short == a.Error.Message), short)
	return a.Error
}

// peek returns the next message whose subject begins with prefix, as next does, and leaves it where it is.
func (w *tap) peek(prefix string) *nats.Msg {
	w.t.Helper()
	i := slices.IndexFunc(w.passed, func(msg *nats.Msg) bool { return strings.HasPrefix(msg.Subject, prefix) })
	msg := w.next(prefix)
	if i < 0 {
		i = len(w.passed)
	}
	w.passed = slices.Insert(w.passed, i, msg)
	return msg
}

// send publishes a job as a request to a hive and returns the subject of its reply, which the tap hears if it listens to
// "reply.>".
func (w *tap) send(hive, job string) string { return w.sendTo(hive, "worker_spawn", job) }

func (w *tap) sendTo(hive, operation, job string) string {
	w.t.Helper()
	reply := "reply." + nats.NewInbox()
	require.NoError(w.t, w.nc.PublishRequest("rbee.v1.hive."+hive+"."+operation, reply, []byte(job)))
	return reply
}

// story returns the events of one attempt at a job, up to its end, and checks that it is whole: 1, 2, 3 … and one end.
func (w *tap) story(hive, job string) []event {
	w.t.Helper()
	var story []event
	for {
		e := w.event("rbee.v1.narration." + hive + "." + job + ".")
		story = append(story, e)
		require.Equal(w.t, len(story), e.Seq)
		require.Equal(w.t, []string{hive, job}, []string{e.HiveID, e.JobID})
		if e.Terminal {
			return story
		}
	}
}
