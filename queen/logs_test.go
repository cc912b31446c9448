package queen_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// log plays the log of worker w1 on hive gpu-1, as worker_logs answers it.
type log struct {
	tb testing.TB

	mu    sync.Mutex
	text  string // all that was written; what lies before start is no longer kept
	start int64
	state messages.State
	path  string
	asked chan time.Time // when each request came
}

func newLog(tb testing.TB) *log {
	return &log{tb: tb, state: messages.StateReady, path: "/var/log/rbee/w1.job-1.log", asked: make(chan time.Time, 1024)}
}

// change lets do change the log.
func (l *log) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// write appends lines.
func (l *log) write(lines ...string) {
	l.change(func() { l.text += strings.Join(lines, "\n") + "\n" })
}

// answer is what a hive does with a request: whole lines, and 20 bytes of them where there is no limit.
func (l *log) answer(data []byte) encoder {
	l.asked <- time.Now()
	request := read(l.tb, data, messages.WorkerLogs, messages.DecodeLogs)
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(len(l.text))
	answer := messages.Logs{HiveID: "gpu-1", WorkerID: "w1", LogPath: l.path, Size: size, Start: l.start, State: l.state}
	if request.From == nil {
		lines := strings.SplitAfter(l.text, "\n")
		lines = lines[max(0, len(lines)-1-request.Lines()) : len(lines)-1]
		answer.From, answer.Next = size-int64(len(strings.Join(lines, ""))), size
		for _, line := range lines {
			answer.Lines = append(answer.Lines, strings.TrimSuffix(line, "\n"))
		}
		return answer
	}
	answer.From = min(max(*request.From, l.start), size)
	answer.Next, answer.Missed = answer.From, max(0, l.start-*request.From)
	limit := request.Limit
	if limit == 0 {
		limit = 20
	}
	for {
		line, _, whole := strings.Cut(l.text[answer.Next:], "\n")
		next := answer.Next + int64(len(line)) + 1
		if !whole || next > answer.From+limit {
			return answer
		}
		answer.Lines, answer.Next = append(answer.Lines, line), next
	}
}

// follow plays the log on a server and follows it from a place on, until the worker has exited; it returns the lines and
// what was missed.
func follow(t *testing.T, l *log, from int64) (lines []string, missed int64, err error) {
	t.Helper()
	srv := natstest.Server(t)
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
	client, _ := connect(t, srv.URL())
	err = client.Follow(patient(t), "gpu-1", "w1", from, func(part messages.Logs) error {
		lines, missed = append(lines, part.Lines...), missed+part.Missed
		return nil
	})
	return lines, missed, err
}

func TestLogs(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	l := newLog(t)
	for i := range 200 {
		l.write(fmt.Sprintf("line %d", i))
	}
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
	client, _ := connect(t, srv.URL())
	for what, test := range map[string]struct {
		request     messages.LogsRequest
		first, last string
		n           int
	}{
		"nothing said": {messages.LogsRequest{}, "line 100", "line 199", 100},
		"a tail":       {messages.LogsRequest{Tail: 3}, "line 197", "line 199", 3},
		"a range":      {messages.LogsRequest{From: new(int64(7)), Limit: 14}, "line 1", "line 2", 2},
	} {
		test.request.WorkerID = "w1"
		part, err := client.Logs(patient(t), "gpu-1", test.request)
		require.NoError(t, err, what)
		require.Len(t, part.Lines, test.n, what)
		require.Equal(t, []string{test.first, test.last}, []string{part.Lines[0], part.Lines[test.n-1]}, what)
	}
}

func TestFollowReadsToTheEnd(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("line %d", i))
	}
	l.write(want...)
	l.state = messages.StateExited
	lines, missed, err := follow(t, l, 0)
	require.NoError(t, err)
	require.Equal(t, want, lines)
	require.Zero(t, missed)

	lines, _, err = follow(t, l, int64(len("line 0\n")))
	require.NoError(t, err)
	require.Equal(t, want[1:], lines)
}

func TestFollowSaysWhatItMissed(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write("gone", "kept")
	l.start, l.state = 5, messages.StateExited
	lines, missed, err := follow(t, l, 2)
	require.NoError(t, err)
	require.Equal(t, []string{"kept"}, lines)
	require.EqualValues(t, 3, missed)
}

// A reader that takes its time is asked for nothing, and loses what was rotated out meanwhile, but not the rest.
func TestFollowAsksOnlyWhenItsReaderIsDone(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	l := newLog(t)
	l.write("first")
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
	client, _ := connect(t, srv.URL())

	reading, goOn := make(chan messages.Logs), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- client.Follow(patient(t), "gpu-1", "w1", 0, func(part messages.Logs) error {
			reading <- part
			<-goOn
			return nil
		})
	}()
	require.Equal(t, []string{"first"}, (<-reading).Lines)
	asked := len(l.asked)
	l.write("second", "third", "fourth")
	l.change(func() { l.start, l.state = int64(len("first\nsecond\n")), messages.StateExited })
	_, err := client.Logs(patient(t), "gpu-1", messages.LogsRequest{WorkerID: "w1"}) // one that was on its way would be here before
	require.NoError(t, err)
	require.Len(t, l.asked, asked+1, "nobody else has asked")
	close(goOn)
	part := <-reading
	require.Equal(t, []string{"third", "fourth"}, part.Lines)
	require.EqualValues(t, len("second\n"), part.Missed)
	require.NoError(t, <-ended)
}

func TestFollowIsGentleWithAWorkerThatIsSilent(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	srv := natstest.Server(t)
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
	client, _ := connect(t, srv.URL())
	ended := make(chan error, 1)
	go func() {
		ended <- client.Follow(ctx, "gpu-1", "w1", 0, func(messages.Logs) error { return errors.New("there is nothing to read") })
	}()
	var asked []time.Time
	for range 8 {
		asked = append(asked, <-l.asked)
	}
	cancel()
	err := <-ended
	require.ErrorIs(t, err, context.Canceled)
	require.Greater(t, asked[7].Sub(asked[6]), 200*time.Millisecond)
	require.Greater(t, asked[7].Sub(asked[0]), 700*time.Millisecond)
}

func TestFollowWaitsForAHiveThatIsRestarted(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	l := newLog(t)
	l.write("before")
	sub := playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
	missed := make(chan *nats.Msg, 64) // who finds no hive looks which others there are
	_, err := natstest.Dial(t, srv.URL()).ChanSubscribe("$SRV.PING.rbee-hive", missed)
	require.NoError(t, err)
	client, _ := connect(t, srv.URL())
	lines, ended := make(chan string, 2), make(chan error, 1)
	go func() {
		ended <- client.Follow(patient(t), "gpu-1", "w1", 0, func(part messages.Logs) error {
			lines <- strings.Join(part.Lines, "+")
			return nil
		})
	}()
	require.Equal(t, "before", <-lines)
	require.NoError(t, sub.Unsubscribe())
	<-missed
	l.write("after")
	l.change(func() { l.state = messages.StateExited })
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
	require.Equal(t, "after", <-lines)
	require.NoError(t, <-ended)
}

// A hive answers so many questions at once, and who follows a log asks again and again.
func TestFollowWaitsForAHiveThatIsBusy(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	l := newLog(t)
	l.write("one line of many", "one line of many", "the last")
	l.state = messages.StateExited
	var asked atomic.Int32
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, func(data []byte) encoder {
		if asked.Add(1)%2 == 1 { // the first one, too
			busy := messages.Errorf(messages.HiveBusy, "ask again later")
			busy.Retryable = true
			return messages.Failure{HiveID: "gpu-1", Err: busy}
		}
		return l.answer(data)
	})
	client, _ := connect(t, srv.URL())
	var lines []string
	require.NoError(t, client.Follow(patient(t), "gpu-1", "w1", 0, func(part messages.Logs) error {
		lines = append(lines, part.Lines...)
		return nil
	}))
	require.Equal(t, []string{"one line of many", "one line of many", "the last"}, lines)
}

func TestFollowEndsWithAnError(t *testing.T) {
	t.Parallel()
	t.Run("of its reader", func(t *testing.T) {
		t.Parallel()
		srv := natstest.Server(t)
		l := newLog(t)
		l.write("a")
		playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
		client, _ := connect(t, srv.URL())
		enough := errors.New("enough")
		require.Equal(t, enough, client.Follow(patient(t), "gpu-1", "w1", 0, func(messages.Logs) error { return enough }))
	})
	t.Run("of the hive", func(t *testing.T) {
		t.Parallel()
		srv := natstest.Server(t)
		playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, func([]byte) encoder { return notFound() })
		client, _ := connect(t, srv.URL())
		require.ErrorIs(t, client.Follow(patient(t), "gpu-1", "w1", 0, nil), messages.WorkerNotFound)
	})
	t.Run("no hive from the start", func(t *testing.T) {
		t.Parallel()
		client, _ := connect(t, natstest.Server(t).URL())
		err := client.Follow(patient(t), "gpu-1", "w1", 0, nil)
		_, absent := errors.AsType[*queen.NoHiveError](err)
		require.True(t, absent, "%v", err)
	})
	t.Run("the place is not there", func(t *testing.T) {
		t.Parallel()
		l := newLog(t)
		l.write("a")
		_, _, err := follow(t, l, 100)
		require.ErrorContains(t, err, "it ends at 2, before the place 100: ask from there")
	})
	t.Run("another worker took the id", func(t *testing.T) {
		t.Parallel()
		srv := natstest.Server(t)
		l := newLog(t)
		l.write("a")
		playAnswers(t, srv.URL(), "gpu-1", messages.WorkerLogs, l.answer)
		client, _ := connect(t, srv.URL())
		err := client.Follow(patient(t), "gpu-1", "w1", 0, func(messages.Logs) error {
			l.change(func() { l.path = "/var/log/rbee/w1.job-2.log" })
			return nil
		})
		require.ErrorContains(t, err, "another worker has taken the id; its log is /var/log/rbee/w1.job-2.log")
	})
}
