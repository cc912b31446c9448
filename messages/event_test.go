package messages_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestStamp(t *testing.T) {
	t.Parallel()
	here := time.FixedZone("here", 3600)
	now := time.Date(2026, 11, 22, 13, 0, 0, 1, here)
	for what, test := range map[string]struct{ event, want messages.Event }{
		"about a hive": {
			messages.Event{HiveID: hiveID},
			messages.Event{HiveID: hiveID, Target: hiveID, Level: messages.LevelInfo},
		},
		"about a worker": {
			messages.Event{HiveID: hiveID, WorkerID: workerID, Level: messages.LevelWarn},
			messages.Event{HiveID: hiveID, WorkerID: workerID, Target: workerID, Level: messages.LevelWarn},
		},
		"about something else": {
			messages.Event{HiveID: hiveID, WorkerID: workerID, Target: "cuda:0", Level: messages.LevelError},
			messages.Event{HiveID: hiveID, WorkerID: workerID, Target: "cuda:0", Level: messages.LevelError},
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got := test.event
			got.Stamp(now)
			require.NotEmpty(t, got.ID)
			want := test.want
			want.ID, want.Type, want.Actor = got.ID, "io.rbee.hive.v1.narration", "rbee-hive"
			want.Time = time.Date(2026, 11, 22, 12, 0, 0, 1, time.UTC)
			require.Equal(t, want, got)
		})
	}
}

func TestEventIDsSortByTime(t *testing.T) {
	t.Parallel()
	var before messages.Event
	before.Stamp(time.Now())
	for range 1000 {
		var e messages.Event
		e.Stamp(time.Now())
		require.Less(t, before.ID, e.ID)
		before = e
	}
}

func TestAbout(t *testing.T) {
	t.Parallel()
	require.Equal(t, jobID, jobEvent().About())
	require.Equal(t, "@worker", exitEvent().About())
	require.Equal(t, "@hive", hiveEvent().About())
}

func TestDecodeEventRefuses(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct{ payload, says string }{
		"nothing":         {"", "unexpected end"},
		"no JSON":         {"hello", "invalid character"},
		"null":            {"null", `its type is "", not "io.rbee.hive.v1.narration"`},
		"a list":          {"[]", "array"},
		"another type":    {`{"type":"io.nats.jetstream.api.v1.pub_ack"}`, `"io.nats.jetstream.api.v1.pub_ack"`},
		"a wrong field":   {`{"type":"io.rbee.hive.v1.narration","seq":"1"}`, "seq"},
		"a wrong moment":  {`{"type":"io.rbee.hive.v1.narration","time":"noon"}`, "noon"},
		"a control in it": {`{"type":"a\nb"}`, `a\\nb`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, err := messages.DecodeEvent([]byte(test.payload))
			require.ErrorContains(t, err, "read a narration event: ")
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestDecodeEventPassesOverWhatIsNew(t *testing.T) {
	t.Parallel()
	e, err := messages.DecodeEvent([]byte(
		`{"type":"io.rbee.hive.v1.narration","action":"worker_moved","level":"debug","mood":"good","fields":{"pid":7,"from":"gpu-1"}}`))
	require.NoError(t, err)
	require.Equal(t, messages.Action("worker_moved"), e.Action)
	require.Equal(t, 7, e.Fields.PID)
}

// A person reads what a subscriber prints: nothing is escaped but what JSON must.
func TestTextTravelsReadable(t *testing.T) {
	t.Parallel()
	e := hiveEvent()
	e.Human = "✅ 'a' < b && \"c\" > d"
	sent, err := e.Encode()
	require.NoError(t, err)
	require.Contains(t, string(sent), `"human":"✅ 'a' < b && \"c\" > d"`)
}
