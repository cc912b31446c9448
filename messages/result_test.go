package messages_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestDecodeResultRefuses(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct{ payload, says string }{
		"nothing":            {"", "unexpected end"},
		"no JSON":            {"-ERR", "invalid"},
		"a list":             {"[]", "array"},
		"null":               {"null", "neither a result nor an error"},
		"an acknowledgement": {`{"stream":"RBEE_JOBS","seq":1}`, "neither a result nor an error"},
		"no worker":          {`{"job_id":"j1"}`, "neither a result nor an error"},
		"no job":             {`{"worker_id":"w1"}`, "neither a result nor an error"},
		"a wrong type":       {`{"job_id":"j1","worker_id":"w1","pid":"1"}`, "pid"},
		"an error as text":   {`{"job_id":"j1","error":"no luck"}`, "error"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, err := messages.DecodeResult([]byte(test.payload))
			require.ErrorContains(t, err, "read the hive's answer: ")
			require.ErrorContains(t, err, test.says)
			var e *messages.Error
			require.NotErrorAs(t, err, &e, "it is no failure that the hive told")
		})
	}
}

func TestDecodeResultPassesOverWhatIsNew(t *testing.T) {
	t.Parallel()
	r, err := messages.DecodeResult([]byte(`{"job_id":"j1","worker_id":"w1","pid":7,"error":null,"gpu":{"name":"x"}}`))
	require.NoError(t, err)
	require.Equal(t, messages.Result{JobID: "j1", WorkerID: "w1", PID: 7}, r)

	_, err = messages.DecodeResult([]byte(`{"job_id":"j1","error":{"code":"gpu_on_fire","message":"hot","retryable":true,"celsius":451}}`))
	require.ErrorIs(t, err, messages.Code("gpu_on_fire"))
	require.Equal(t, &messages.Error{Code: "gpu_on_fire", Message: "hot", Retryable: true}, err)
}
