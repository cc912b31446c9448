package messages_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// answers returns the decoders of every answer but the result, by the name of its schema.
func answers() map[string]func([]byte) (encoder, error) {
	return map[string]func([]byte) (encoder, error){
		"workers": hears(messages.DecodeWorkers), "worker": hears(messages.DecodeWorker), "deleted": hears(messages.DecodeDeleted),
		"log": hears(messages.DecodeLogsAnswer), "hive": hears(messages.DecodeHive), "entries": hears(messages.DecodeCatalog), "plan": hears(messages.DecodePlan),
	}
}

func hears[A encoder](decode func([]byte) (A, error)) func([]byte) (encoder, error) {
	return func(data []byte) (encoder, error) { return decode(data) }
}

func TestDecodeAnswerRefuses(t *testing.T) {
	t.Parallel()
	for kind, decode := range answers() {
		for what, test := range map[string]struct{ payload, says string }{
			"nothing":            {"", "unexpected end"},
			"no JSON":            {"-ERR", "invalid"},
			"a list":             {"[]", "array"},
			"null":               {"null", "nor an error"},
			"an acknowledgement": {`{"stream":"RBEE_JOBS","seq":1}`, "nor an error"},
			"the ids alone":      {`{"job_id":"j1","hive_id":"h1"}`, "nor an error"},
			"null for lists":     {`{"job_id":"j1","hive_id":"h1","worker_id":"w1","workers":null,"lines":null,"devices":null}`, "nor an error"},
			"null for an error":  {`{"job_id":"j1","hive_id":"h1","error":null}`, "nor an error"},
			"a wrong type":       {`{"hive_id":7}`, "hive_id"},
			"an error as text":   {`{"hive_id":"h1","error":"no luck"}`, "error"},
		} {
			t.Run(kind+"/"+what, func(t *testing.T) {
				t.Parallel()
				got, err := decode([]byte(test.payload))
				require.ErrorContains(t, err, "read the hive's answer: ")
				require.ErrorContains(t, err, test.says)
				var e *messages.Error
				require.NotErrorAs(t, err, &e, "it is no failure that the hive told")
				require.Zero(t, got)
			})
		}
	}
}

func TestDecodeAnswerTellsAFailure(t *testing.T) {
	t.Parallel()
	for kind, decode := range answers() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, failure := range []messages.Failure{
				{JobID: "j1", HiveID: "h1", Err: outOfMemory()}, {HiveID: "h1", Err: messages.Errorf(messages.WorkerNotFound, "no")},
			} {
				sent, err := failure.Encode()
				require.NoError(t, err)
				got, err := decode(sent)
				require.Equal(t, failure.Err, err)
				if deleted, ok := got.(messages.Deleted); ok {
					require.Equal(t, messages.Deleted{JobID: failure.JobID, HiveID: "h1"}, deleted)
				}
				again, err := got.Encode()
				require.NoError(t, err)
				require.Contains(t, string(again), `"hive_id":"h1"`)
			}
		})
	}
}

// An error among the values of an answer is no failure of it, and one beside them is.
func TestDecodeAnswerTellsErrorsApart(t *testing.T) {
	t.Parallel()
	const log = `{"hive_id":"h1","worker_id":"w1","lines":["\"error\""],"state":"ready"%s}`
	got, err := messages.DecodeLogsAnswer(fmt.Appendf(nil, log, ""))
	require.NoError(t, err)
	require.Equal(t, []string{`"error"`}, got.Lines)
	_, err = messages.DecodeLogsAnswer(fmt.Appendf(nil, log, `,"more":{"error":"x"}`))
	require.NoError(t, err)
	_, err = messages.DecodeLogsAnswer(fmt.Appendf(nil, log, `, "error" : {"code":"internal","message":"m"}`))
	require.ErrorIs(t, err, messages.Internal)
}

func TestDecodeAnswerPassesOverWhatIsNew(t *testing.T) {
	t.Parallel()
	page, err := messages.DecodeWorkers([]byte(`{"hive_id":"h1","workers":[{"worker_id":"w1","state":"frozen","gpu":{"name":"x"}}],"total":9}`))
	require.NoError(t, err)
	require.Equal(t, messages.WorkerPage{HiveID: "h1", Workers: []messages.Worker{{WorkerID: "w1", State: "frozen"}}}, page)
}

func TestListsAreNeverNull(t *testing.T) {
	t.Parallel()
	for want, answer := range map[string]encoder{
		`"workers":[]`: messages.WorkerPage{HiveID: "h1"},
		`"lines":[]`:   messages.Logs{HiveID: "h1"},
		`"devices":[]`: messages.HiveInfo{HiveID: "h1"},
	} {
		sent, err := answer.Encode()
		require.NoError(t, err)
		require.Contains(t, string(sent), want)
	}
}

func TestALogEndsWithItsWorker(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		logs messages.Logs
		want bool
	}{
		"it runs":           {messages.Logs{Size: 7, Next: 7, State: messages.StateReady}, false},
		"more is to read":   {messages.Logs{Size: 7, Next: 6, State: messages.StateExited}, false},
		"all is read":       {messages.Logs{Size: 7, Next: 7, State: messages.StateExited}, true},
		"nothing was there": {messages.Logs{State: messages.StateExited}, true},
	} {
		require.Equal(t, test.want, test.logs.Ended(), what)
	}
}
