//go:build linux

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/netfault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// faults are what happens to a connection. The holes last until whoever is in one has noticed and tried to connect anew, and
// what they hold then arrives after all.
var faults = []struct {
	name   string
	strike func(*netfault.Proxy)
	lasts  bool // whoever suffers it must notice
}{
	{"delay", func(p *netfault.Proxy) { p.Delay(30 * time.Millisecond) }, false},
	{"cut", func(p *netfault.Proxy) { p.Cut() }, true},
	{"outage", func(p *netfault.Proxy) { p.Shut(); p.Cut() }, false},
	{"half-close-up", func(p *netfault.Proxy) { p.HalfClose(netfault.Up) }, true},
	{"half-close-down", func(p *netfault.Proxy) { p.HalfClose(netfault.Down) }, true},
	{"short-hole", func(p *netfault.Proxy) { p.Hold(netfault.Both) }, false},
	{"hole-up", func(p *netfault.Proxy) { p.Hold(netfault.Up) }, true},
	{"hole-down", func(p *netfault.Proxy) { p.Hold(netfault.Down) }, true},
	{"hole", func(p *netfault.Proxy) { p.Hold(netfault.Both) }, true},
}

const (
	// roundLimit bounds a round: its jobs are done by then, however its fault ended.
	roundLimit = time.Minute
	// passes is how long a fault lasts that nobody has to notice.
	passes = 150 * time.Millisecond
	// pings is how often the silent are asked, on both sides: a hole is noticed after three times as long.
	pings = 200 * time.Millisecond
	// What a queen waits for one word of the server or of a hive until she asks again.
	queenWaits = 500 * time.Millisecond
)

// The connection of one of the three is struck again and again while jobs come in both ways. Each job has one worker, which
// was started once, and one result.
func TestALoadThroughEveryFaultOfTheNetwork(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"hive", "queen", "observer"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, victim)
			for _, fault := range faults {
				n.round(fault.name, func() {
					before := n.proxy.Accepted()
					fault.strike(n.proxy)
					if fault.lasts {
						require.Eventually(t, func() bool { return n.proxy.Accepted() > before }, roundLimit, time.Millisecond, "nobody connects anew")
					} else {
						time.Sleep(passes) // what passes by itself
					}
					n.proxy.Heal()
				})
			}
			n.requireOneOfEach()
		})
	}
}

// network is a fleet of one hive, a queen and an observer, with a proxy before one of them.
type network struct {
	t      *testing.T
	victim string
	url    string
	proxy  *netfault.Proxy
	m      *machine
	hive   *hive
	direct *nats.Conn
	js     jetstream.JetStream
	queen  *queen.Client
	ears   *observer

	queued, asked []string
}

func newNetwork(t *testing.T, victim string) *network {
	t.Helper()
	server := startPinging(t, victim == "hive")
	n := &network{t: t, victim: victim, url: server.URL(), direct: natstest.Dial(t, server.URL())}
	var err error
	n.proxy, err = netfault.New(strings.TrimPrefix(n.url, "nats://"))
	require.NoError(t, err)
	t.Cleanup(n.proxy.Close)
	n.js = natstest.JetStream(t, n.direct)
	_, err = queen.New(n.direct, queen.Config{}).Apply(t.Context(), queen.StreamsConfig{}, false)
	require.NoError(t, err)
	impatient(t, n.js)

	n.m = newMachine(t, n.through("hive"), "gpu-1", 400)
	env := []string{"RBEE_QUEUE=required"}
	if victim == "hive" { // another's connection must not break because this machine is busy: its stories are whole
		env = append(env, fmt.Sprintf("NATS_PING_INTERVAL=%s", pings))
	}
	n.hive = n.m.serve(env...)
	n.queen = queen.New(sturdy(t, n.through("queen")), queen.Config{})
	n.ears = observe(t, queen.New(sturdy(t, n.through("observer")), queen.Config{}))
	return n
}

// startPinging starts a server with JetStream that, if it is to be impatient, notices a silent client as soon as that notices a silent server.
func startPinging(t *testing.T, impatient bool) *natsd.Server {
	t.Helper()
	store, conf, interval := t.TempDir(), filepath.Join(t.TempDir(), "nats-server.conf"), patience
	if impatient {
		interval = pings
	}
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "ping_interval: %q\nping_max: 2\n", interval), 0o600))
	server, err := natsd.Start(natsd.Config{StoreDir: store, ConfigFile: conf})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	return server
}

// impatient makes the consumer of gpu-1 as an administrator does who wants a lost job to come again after a second, as often as it takes.
func impatient(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	_, err := js.CreateConsumer(t.Context(), "RBEE_JOBS", jetstream.ConsumerConfig{
		Durable: "gpu-1", FilterSubject: "rbee.v1.job.gpu-1.*.*", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxDeliver: 100,
	})
	require.NoError(t, err)
}

// through returns the URL by which one of the three reaches the server.
func (n *network) through(who string) string {
	if who == n.victim {
		return "nats://" + n.proxy.Addr()
	}
	return n.url
}

// sturdy connects as our programs do, only that it notices sooner what is wrong.
func sturdy(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return natstest.Dial(t, url, append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0), nats.PingInterval(pings), nats.Timeout(2 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.PermissionErrOnSubscribe(true),
	}, opts...)...)
}

// round strikes while jobs come by both ways, before, during and after, and returns when all of them are done.
func (n *network) round(name string, strike func()) {
	n.t.Helper()
	const queued, asked = 9, 6
	ctx, cancel := context.WithTimeout(n.t.Context(), roundLimit)
	defer cancel()
	begun := time.Now()
	var group sync.WaitGroup
	errs := make(chan error, queued+asked)
	send := func(from, parts int) {
		for i := from; i < queued; i += parts {
			id := fmt.Sprintf("%s-queued-%d", name, i)
			n.queued = append(n.queued, id)
			group.Go(func() { errs <- putAndAwait(ctx, n.queen, id) })
		}
		for i := from; i < asked; i += parts {
			id := fmt.Sprintf("%s-asked-%d", name, i)
			n.asked = append(n.asked, id)
			group.Go(func() { errs <- askAgain(ctx, n.queen, id) })
		}
	}
	send(0, 3)
	var during sync.WaitGroup
	during.Go(func() {
		time.Sleep(passes / 3) // in the middle of it
		send(1, 3)
	})
	strike()
	during.Wait()
	send(2, 3)
	group.Wait()
	close(errs)
	for err := range errs {
		require.NoError(n.t, err, "%s: %s\n%s", n.victim, name, n.hive.Said())
	}
	n.t.Logf("%s: %s took %s", n.victim, name, time.Since(begun).Round(time.Millisecond))
}

// putAndAwait queues a job until the queen knows that it is queued, and waits for its result until it is there. Everything else that
// she is told must be that it is not known.
func putAndAwait(ctx context.Context, client *queen.Client, id string) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, queenWaits)
		_, err := client.Enqueue(attempt, "gpu-1", messages.Job{JobID: id, Model: "m", Device: "cpu"})
		cancel()
		_, there := errors.AsType[*queen.DuplicateError](err)
		if err == nil || there {
			break
		}
		_, unsure := errors.AsType[*queen.UnsureError](err)
		if nobody := errors.Is(err, jetstream.ErrNoStreamResponse); !unsure && !nobody && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return fmt.Errorf("queue %s: %w", id, err)
		}
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 4*queenWaits)
		var told []messages.Event
		result, err := client.Await(attempt, "gpu-1", id, func(e messages.Event) { told = append(told, e) })
		cancel()
		if err == nil {
			if result.JobID != id || result.PID == 0 {
				return fmt.Errorf("await %s: %+v", id, result)
			}
			return nil
		}
		if _, pending := errors.AsType[*queen.PendingError](err); !pending || ctx.Err() != nil {
			return fmt.Errorf("await %s: %w", id, err)
		}
	}
}

// askAgain sends a job as a request until it is answered.
func askAgain(ctx context.Context, client *queen.Client, id string) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, queenWaits)
		result, err := client.Spawn(attempt, "gpu-1", messages.Job{JobID: id, Model: "m", Device: "cpu"}, func(messages.Event) {})
		cancel()
		if err == nil {
			if result.JobID != id || result.PID == 0 {
				return fmt.Errorf("ask for %s: %+v", id, result)
			}
			return nil
		}
		_, silent := errors.AsType[*queen.NoAnswerError](err)
		_, nobody := errors.AsType[*queen.NoHiveError](err)
		failure, failed := errors.AsType[*messages.Error](err)
		late := failed && failure.Code == messages.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded) // before it was sent
		if !silent && !nobody && !late || ctx.Err() != nil {
			return fmt.Errorf("ask for %s: %w", id, err)
		}
	}
}

// requireOneOfEach requires that every job had one worker and has one result, that the stories are whole where nothing was in their
// way, and that the observer knows what it missed.
func (n *network) requireOneOfEach() {
	n.t.Helper()
	once := map[string]int{}
	for _, id := range append(n.queued, n.asked...) {
		once[id] = 1
	}
	requireStarts(n.t, once, n.m)
	awaitNoJob(n.t, n.js)
	requireResults(n.t, n.js, append(n.queued, n.asked...), nil)
	kept := keptEvents(n.t, n.js)
	requireStories(n.t, kept, n.victim != "hive")
	n.ears.requireTruth(n.t, kept)
}

// requireResults requires that the stream has one result of each job, and that it is a success. Of those in perhaps it may have none, or
// the refusal of a request that came too late, where it did not hear what came of the next.
func requireResults(t *testing.T, js jetstream.JetStream, jobs, perhaps []string) {
	t.Helper()
	results := map[string]int{}
	for _, msg := range everything(t, js, "RBEE_RESULTS") {
		a, err := answerFrom(&nats.Msg{Header: msg.Header, Data: msg.Data})
		require.NoError(t, err)
		if a.Error != nil && a.Error.Code == "deadline_exceeded" && slices.Contains(perhaps, a.JobID) {
			continue
		}
		require.Nil(t, a.Error, "%s", msg.Data)
		results[a.JobID]++
	}
	want := map[string]int{}
	for _, id := range jobs {
		want[id] = 1
	}
	for _, id := range perhaps {
		if results[id] > 0 {
			want[id] = 1
		}
	}
	require.Equal(t, want, results)
}

// everything returns what a stream holds. It asks only who has the stream, not who leads the cluster.
func everything(t *testing.T, js jetstream.JetStream, name string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	stream := natstest.Stream(t, js, name)
	for seq := uint64(1); ; {
		msg, err := stream.GetMsg(t.Context(), seq, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		require.NoError(t, err)
		all, seq = append(all, msg), msg.Sequence+1
	}
}

// keptEvents returns what the stream of narration has.
func keptEvents(t *testing.T, js jetstream.JetStream) (kept []event) {
	t.Helper()
	for _, msg := range everything(t, js, "RBEE_NARRATION") {
		kept = append(kept, eventFrom(t, &nats.Msg{Data: msg.Data}))
	}
	return kept
}

// requireStories requires that no event was told twice, and, if nothing was in their way, that each story is whole: 1, 2, 3 … with one
// end, which is the last. If something was, events may be missing or late, and their numbers tell which. A job that is asked for again
// while it is at work has two stories at once.
func requireStories(t *testing.T, kept []event, whole bool) {
	t.Helper()
	told, ends := map[string]bool{}, map[string]int{}
	open := map[string][]int{} // by job, how far each of its stories has come that has no end yet
	for _, e := range kept {
		require.False(t, told[e.ID], "an event came twice: %+v", e)
		told[e.ID] = true
		if e.JobID == "" {
			continue
		}
		require.Positive(t, e.Seq)
		if e.Terminal && e.Attempt == 1 && e.Action == "worker_spawn_complete" {
			ends[e.JobID]++
		}
		if !whole {
			continue
		}
		story := slices.Index(open[e.JobID], e.Seq-1)
		if e.Seq == 1 {
			story, open[e.JobID] = len(open[e.JobID]), append(open[e.JobID], 0)
		}
		require.NotEqual(t, -1, story, "it follows nothing: %+v", e)
		open[e.JobID][story] = e.Seq
		if e.Terminal {
			open[e.JobID] = slices.Delete(open[e.JobID], story, story+1)
		}
	}
	for job, stories := range open {
		require.Empty(t, stories, "%s has stories without an end", job)
	}
	for job, n := range ends {
		require.Equal(t, 1, n, "%s was complete more than once in its first attempt", job)
	}
}

// observer listens to everything, by the stream from the beginning on and live.
type observer struct {
	history *queen.History
	live    *queen.Narration
	reading sync.WaitGroup
	stop    context.CancelFunc

	mu          sync.Mutex
	told, heard []string // ids of events
	gaps        []int    // how many were heard before each gap
	errs        []error
}

func observe(t *testing.T, client *queen.Client) *observer {
	t.Helper()
	o := &observer{}
	var err error
	o.live, err = client.Watch(t.Context(), queen.Filter{})
	require.NoError(t, err)
	o.history, err = client.History(t.Context(), queen.Filter{}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	o.stop = stop
	o.reading.Go(func() {
		for e, err := range o.history.Events(ctx) {
			o.note(func() {
				if err != nil {
					o.errs = append(o.errs, fmt.Errorf("history: %w", err))
					return
				}
				o.told = append(o.told, e.ID)
			})
		}
	})
	o.reading.Go(func() {
		for e, err := range o.live.Events(ctx) {
			_, gap := errors.AsType[*queen.GapError](err)
			o.note(func() {
				switch {
				case gap:
					o.gaps = append(o.gaps, len(o.heard))
				case err != nil:
					o.errs = append(o.errs, fmt.Errorf("watch: %w", err))
				default:
					o.heard = append(o.heard, e.ID)
				}
			})
		}
	})
	t.Cleanup(o.end)
	return o
}

func (o *observer) note(what func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	what()
}

func (o *observer) end() {
	o.stop()
	o.reading.Wait()
	o.history.Close()
	o.live.Close()
}

// requireTruth requires that the history had every event that was kept, each once and in order, whatever happened to its connection, and
// that what is missing live was said to be.
func (o *observer) requireTruth(t *testing.T, kept []event) {
	t.Helper()
	place, want := map[string]int{}, make([]string, len(kept))
	for i, e := range kept {
		want[i], place[e.ID] = e.ID, i
	}
	require.Eventually(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.told) >= len(want) || len(o.errs) > 0
	}, patience, 5*time.Millisecond, "the history does not go on")
	o.end()
	require.NoError(t, errors.Join(o.errs...))
	require.Equal(t, want, o.told[:len(want)])

	missing, next := 0, -1
	for i, id := range o.heard {
		at, is := place[id]
		if !is {
			break // it was told after the stream was read
		}
		if next >= 0 && at != next {
			missing++
			require.Greater(t, at, next, "what is heard is in order")
			require.LessOrEqual(t, missing, len(o.gaps), "a gap that nobody told")
			require.LessOrEqual(t, o.gaps[missing-1], i, "a gap that was told too late")
		}
		next = at + 1
	}
	t.Logf("%d events were told, %d heard live, with %d gaps of which %d had something in them", len(o.told), len(o.heard), len(o.gaps), missing)
}

// A hive in a black hole ends when it is told to, and says that its last words may be lost.
func TestAHiveInABlackHoleEnds(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "hive")
	n.proxy.Hold(netfault.Both)
	begun := time.Now()
	n.hive.Signal(syscall.SIGTERM)
	code, said := n.hive.Exit()
	require.Less(t, time.Since(begun), roundLimit)
	require.Zero(t, code, said)
	t.Logf("it took %s", time.Since(begun).Round(time.Millisecond))
}
