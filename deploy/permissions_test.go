package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// everything is what each role may subscribe to, in full: subject, or "subject queue".
var everything = map[string][]string{
	queen:    {"rbee.v1.narration.>", "rbee.v1.result.>", "rbee.v1.trace.>", "_INBOX_queen.>"},
	observer: {"rbee.v1.narration.>", "rbee.v1.result.>", "_INBOX_observer.>"},
	admin:    {"_INBOX_admin.>"},
	hive1:    append([]string{"rbee.v1.hive.gpu-1.* gpu-1", "_INBOX_hive-gpu-1.>"}, control...),
	hive2:    append([]string{"rbee.v1.hive.gpu-2.* gpu-2", "_INBOX_hive-gpu-2.>"}, control...),
}

// control is what a NATS micro service named rbee-hive subscribes to.
var control = []string{
	"$SRV.PING", "$SRV.PING.rbee-hive", "$SRV.PING.rbee-hive.*",
	"$SRV.INFO", "$SRV.INFO.rbee-hive", "$SRV.INFO.rbee-hive.*",
	"$SRV.STATS", "$SRV.STATS.rbee-hive", "$SRV.STATS.rbee-hive.*",
}

// publishing has who may publish on a subject, and who hears it then. Whoever is not named is refused.
var publishing = map[string]struct{ may, hear []string }{
	// Jobs: from the queen, to the one hive.
	"rbee.v1.hive.gpu-1.worker_spawn":      {[]string{queen}, []string{hive1}},
	"rbee.v1.hive.gpu-2.worker_spawn":      {[]string{queen}, []string{hive2}},
	"rbee.v1.hive.gpu-2.worker_delete":     {[]string{queen}, []string{hive2}},
	"rbee.v1.hive.gpu-10.worker_spawn":     {[]string{queen}, nil},
	"rbee.v1.hive.gpu-1":                   {},
	"rbee.v1.hive.gpu-1.worker_spawn.more": {},

	// Queued jobs, and what the queen did with them: into streams, and nobody hears them but the queen her own traces.
	"rbee.v1.job.gpu-1.worker_spawn.job-1":      {[]string{queen}, nil},
	"rbee.v1.job.gpu-1.worker_spawn":            {},
	"rbee.v1.job.gpu-1.worker_spawn.job-1.more": {},
	"rbee.v1.trace.gpu-1.job-1.queued":          {[]string{queen}, []string{queen}},
	"rbee.v1.trace.gpu-1.job-1.cancelled":       {[]string{queen}, []string{queen}},
	"rbee.v1.trace.gpu-1.job-1.other":           {},

	// Results and narration: from the hive of which they speak.
	"rbee.v1.result.gpu-1.job-1":                    {[]string{hive1}, []string{queen, observer}},
	"rbee.v1.result.gpu-2.job-1":                    {[]string{hive2}, []string{queen, observer}},
	"rbee.v1.result.gpu-1.job-1.more":               {},
	"rbee.v1.result.gpu-3.job-1":                    {},
	"rbee.v1.narration.gpu-1.job-1.worker_spawned":  {[]string{hive1}, []string{queen, observer}},
	"rbee.v1.narration.gpu-2.job-1.worker_spawned":  {[]string{hive2}, []string{queen, observer}},
	"rbee.v1.narration.gpu-3.job-1.worker_spawned":  {},
	"rbee.v1.narration.gpu-1.@hive.hive_started":    {[]string{hive1}, []string{queen, observer}},
	"rbee.v1.narration.gpu-2.@worker.worker_exited": {[]string{hive2}, []string{queen, observer}},
	"rbee.v1.narration":                             {},

	// Discovery: asked by the queen, and the first of it by an observer; answered by hives.
	"$SRV.PING":                 {[]string{queen, observer}, []string{hive1, hive2}},
	"$SRV.PING.rbee-hive":       {[]string{queen, observer}, []string{hive1, hive2}},
	"$SRV.PING.rbee-hive.ID1":   {[]string{queen, observer}, []string{hive1, hive2}},
	"$SRV.INFO":                 {[]string{queen}, []string{hive1, hive2}},
	"$SRV.INFO.rbee-hive":       {[]string{queen}, []string{hive1, hive2}},
	"$SRV.INFO.rbee-hive.ID1":   {[]string{queen}, []string{hive1, hive2}},
	"$SRV.STATS":                {[]string{queen}, []string{hive1, hive2}},
	"$SRV.STATS.rbee-hive":      {[]string{queen}, []string{hive1, hive2}},
	"$SRV.STATS.rbee-hive.ID1":  {[]string{queen}, []string{hive1, hive2}},
	"$SRV.PING.other":           {},
	"$SRV.SCHEMA.rbee-hive":     {},
	"$SRV.PING.rbee-hive.ID1.x": {},

	// Inboxes: nobody speaks into one without having been asked.
	"_INBOX.abc":             {},
	"_INBOX_queen.abc":       {},
	"_INBOX_queen.abc.1":     {},
	"_INBOX_observer.abc":    {},
	"_INBOX_hive-gpu-1.abc":  {},
	"_INBOX_hive-gpu-2.abc":  {},
	"_INBOX_hive-gpu-12.abc": {},

	// Everything else.
	"anything":                       {},
	"rbee.v2.hive.gpu-1.worker_list": {},
	"hive.gpu-1.worker_spawn":        {},
	"$SYS.REQ.SERVER.PING":           {},
	"$SYS.REQ.USER.INFO":             {},
	"$JS.API.INFO":                   {},
	"$JS.API.STREAM.CREATE.RBEE":     {},
	"$JS.ACK.RBEE.gpu-1.1.1.1.1.1":   {},
	"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.RBEE_JOBS.gpu-1": {},
}

// subscribing has who may subscribe to a subject, or to a "subject queue". Whoever is not named is refused.
var subscribing = map[string][]string{
	">":                                  nil,
	"*":                                  nil,
	"*.>":                                nil,
	"rbee.>":                             nil,
	"rbee.v1.>":                          nil,
	"rbee.v1.*.*.*":                      nil,
	"rbee.v1.hive.>":                     nil,
	"rbee.v1.hive.*.*":                   nil,
	"rbee.v1.hive.*.* gpu-1":             nil,
	"rbee.v1.hive.gpu-1.*":               nil, // outside the queue group, each job would run twice
	"rbee.v1.hive.gpu-1.* gpu-1":         {hive1},
	"rbee.v1.hive.gpu-1.* gpu-2":         nil,
	"rbee.v1.hive.gpu-1.> gpu-1":         {hive1}, // the server lets "*" in a permission stand for ">": still its own
	"rbee.v1.hive.> gpu-1":               nil,
	"rbee.v1.hive.gpu-1.worker_spawn":    nil,
	"rbee.v1.hive.gpu-2.*":               nil,
	"rbee.v1.hive.gpu-2.* gpu-1":         nil,
	"rbee.v1.hive.gpu-2.* gpu-2":         {hive2},
	"rbee.v1.hive.gpu-2.worker_list q":   nil,
	"rbee.v1.job.>":                      nil,
	"rbee.v1.job.gpu-1.*.*":              nil,
	"rbee.v1.trace.>":                    {queen},
	"rbee.v1.narration.>":                {queen, observer},
	"rbee.v1.narration.gpu-1.>":          {queen, observer},
	"rbee.v1.narration.*.job-1.>":        {queen, observer},
	"rbee.v1.narration.*.*.worker_ready": {queen, observer},
	"rbee.v1.result.>":                   {queen, observer},
	"rbee.v1.result.gpu-2.job-1":         {queen, observer},
	"$SRV.>":                             nil,
	"$SRV.PING":                          {hive1, hive2},
	"$SRV.INFO.rbee-hive":                {hive1, hive2},
	"$SRV.STATS.rbee-hive.ID1":           {hive1, hive2},
	"$SRV.PING.other":                    nil,
	"_INBOX.>":                           nil,
	"_INBOX_queen.>":                     {queen},
	"_INBOX_queen.abc.*":                 {queen},
	"_INBOX_observer.>":                  {observer},
	"_INBOX_hive-gpu-1.>":                {hive1},
	"_INBOX_hive-gpu-2.>":                {hive2},
	"_INBOX_hive-gpu-1.abc q":            {hive1},
	"$JS.>":                              nil,
	"$JS.EVENT.>":                        nil,
	"$SYS.>":                             nil,
	"$SYS.ACCOUNT.RBEE.>":                nil,
}

func TestWhoMayPublishAndWhoHearsIt(t *testing.T) {
	t.Parallel()
	everyBroker(t, whoMayPublishAndWhoHearsIt)
}

// everyBroker tests something under each way in which a fleet is deployed.
func everyBroker(t *testing.T, test func(*testing.T, *broker)) {
	for name, start := range brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func whoMayPublishAndWhoHearsIt(t *testing.T, srv *broker) {
	witnesses := map[string]*witness{}
	for role, subjects := range everything {
		witnesses[role] = listen(t, dial(t, srv, role), subjects...)
	}

	for subject, want := range publishing {
		for _, role := range roles {
			may, hear := slices.Contains(want.may, role), want.hear
			if !may {
				hear = nil
			}
			speaker := dial(t, srv, role)
			// The reply subject is one that everybody may name, whatever they may do with it.
			require.NoError(t, speaker.PublishRequest(subject, "_INBOX_"+role+".reply", []byte(subject)))
			require.Equal(t, !may, refusal(t, speaker), "%s publishes on %s", role, subject)
			for name, w := range witnesses {
				require.Equal(t, slices.Contains(hear, name), w.heard(t) == 1, "%s hears %s publish on %s", name, role, subject)
			}
			speaker.Close()
		}
	}
}

// outsideTheGroup has what a hive may subscribe to besides where its permissions are a template: its own jobs, and nobody else's.
var outsideTheGroup = map[string][]string{
	"rbee.v1.hive.gpu-1.*":             {hive1},
	"rbee.v1.hive.gpu-1.* gpu-2":       {hive1},
	"rbee.v1.hive.gpu-1.worker_spawn":  {hive1},
	"rbee.v1.hive.gpu-2.*":             {hive2},
	"rbee.v1.hive.gpu-2.* gpu-1":       {hive2},
	"rbee.v1.hive.gpu-2.worker_list q": {hive2},
}

func TestWhoMaySubscribe(t *testing.T) {
	t.Parallel()
	everyBroker(t, whoMaySubscribe)
}

func whoMaySubscribe(t *testing.T, srv *broker) {
	say := traffic(t, srv)
	for subject, may := range subscribing {
		if srv.template {
			may = append(slices.Clip(may), outsideTheGroup[subject]...)
		}
		for _, role := range roles {
			nc := dial(t, srv, role)
			w := listen(t, nc, subject)
			require.Equal(t, !slices.Contains(may, role), refusal(t, nc), "%s subscribes to %s", role, subject)
			if !slices.Contains(may, role) {
				say()
				require.Zero(t, w.heard(t), "%s hears %s, though refused", role, subject)
			}
			nc.Close()
		}
	}
}

// A hive that could send itself a message would choose its reply subject, and be allowed to answer there.
func TestNoHiveMayPublishWhereItListens(t *testing.T) {
	t.Parallel()
	everyBroker(t, noHiveMayPublishWhereItListens)
}

func noHiveMayPublishWhereItListens(t *testing.T, srv *broker) {
	for _, role := range []string{hive1, hive2} {
		for _, entry := range everything[role] {
			subject, _, _ := strings.Cut(entry, " ")
			subject = strings.NewReplacer("*", "x", ">", "x").Replace(subject)
			nc := dial(t, srv, role)
			require.NoError(t, nc.PublishRequest(subject, "rbee.v1.hive.gpu-2.worker_spawn", nil))
			require.True(t, refusal(t, nc), "%s publishes on %s", role, subject)
			nc.Close()
		}
	}
}

// witness counts what one connection hears.
type witness struct {
	nc       *nats.Conn
	messages chan *nats.Msg
}

// listen subscribes nc to each subject, or "subject queue". Whether the server allowed it is for refusal to say.
func listen(t *testing.T, nc *nats.Conn, entries ...string) *witness {
	t.Helper()
	w := &witness{nc: nc, messages: make(chan *nats.Msg, 256)}
	for _, entry := range entries {
		subject, queue, _ := strings.Cut(entry, " ")
		_, err := nc.ChanQueueSubscribe(subject, queue, w.messages)
		require.NoError(t, err)
	}
	require.NoError(t, nc.Flush())
	return w
}

// heard returns how many messages came since it was last asked. What the server had for this connection before the
// flush arrives before its answer, so nothing has to be waited for.
func (w *witness) heard(t *testing.T) int {
	t.Helper()
	require.NoError(t, w.nc.Flush())
	n := len(w.messages)
	for range n {
		<-w.messages
	}
	return n
}

// next returns the next message and waits for it.
func (w *witness) next(t *testing.T) *nats.Msg {
	t.Helper()
	select {
	case msg := <-w.messages:
		return msg
	case <-time.After(time.Minute):
		t.Fatal("nothing was heard")
		return nil
	}
}

// traffic returns a function by which every role says once all that it may say.
func traffic(t *testing.T, srv *broker) (say func()) {
	t.Helper()
	speakers := map[string]*nats.Conn{}
	for _, role := range roles {
		speakers[role] = dial(t, srv, role)
	}
	return func() {
		for subject, want := range publishing {
			for _, role := range want.may {
				require.NoError(t, speakers[role].Publish(subject, fmt.Appendf(nil, "%s on %s", role, subject)))
			}
		}
		for role, speaker := range speakers {
			require.False(t, refusal(t, speaker), "%s says what it may say", role)
		}
	}
}
