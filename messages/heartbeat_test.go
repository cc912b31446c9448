package messages_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestDecodeHeartbeatRefuses(t *testing.T) {
	t.Parallel()
	const worker = `"id":"w1","port":9001,"status":"ready"`
	of := func(fields string) string { return fmt.Sprintf(`{"worker":{%s}}`, fields) }
	long := strings.Repeat("x", 1025)
	for what, test := range map[string]struct{ payload, says string }{
		"nothing":              {"", "the payload ends"},
		"no JSON":              {"worker=1", "the payload is not JSON"},
		"null":                 {"null", "the payload is a JSON null"},
		"a list":               {"[]", "the payload is a JSON array"},
		"two of them":          {of(worker) + of(worker), "the payload goes on"},
		"bad UTF-8":            {"{\"\xff\":0}", "the payload is not valid UTF-8"},
		"a byte too many":      {of(worker) + strings.Repeat(" ", messages.MaxPayload), "the payload has 65"},
		"no worker":            {`{}`, "worker.id: is empty"},
		"worker is text":       {`{"worker":"w1"}`, "worker: is a JSON string; it must be an object"},
		"bad id":               {of(`"id":"a.b","port":9001,"status":"ready"`), "worker.id: "},
		"id is a number":       {of(`"id":1`), "worker.id: is a JSON number; it must be a string"},
		"bad hive":             {of(worker + `,"hive_id":"*"`), "worker.hive_id: "},
		"no port":              {of(`"id":"w1","status":"ready"`), "worker.port: is 0"},
		"high port":            {of(worker + `,"port":65536`), "worker.port: is 65536"},
		"port as text":         {of(worker + `,"port":"9001"`), "worker.port: is a JSON string"},
		"no status":            {of(`"id":"w1","port":9001`), `worker.status: is ""`},
		"status of its own":    {of(worker + `,"status":"Ready"`), `worker.status: is "Ready"`},
		"everybody's pid":      {of(worker + `,"pid":-1`), "worker.pid: is -1"},
		"everybody's, again":   {of(worker + `,"pid":4294967295`), "worker.pid: is 4294967295"},
		"control in model_id":  {of(worker + `,"model_id":"\u001b[2J"`), "worker.model_id: "},
		"control in device":    {of(worker + `,"device":"a\nb"`), "worker.device: "},
		"control in program":   {of(worker + `,"implementation":"a\rb"`), "worker.implementation: "},
		"long version":         {of(worker + `,"version":"` + long + `"`), "worker.version: "},
		"long host":            {of(worker + `,"host":"` + long + `"`), "worker.host: "},
		"timestamp is no time": {`{"worker":{` + worker + `},"timestamp":1795348800}`, "timestamp: is not a time"},
		"first of two":         {of(worker + `,"host":"\u0000","model_id":"\u0000"`), "worker.model_id: "},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, err := messages.DecodeHeartbeat([]byte(test.payload))
			require.ErrorContains(t, err, "heartbeat: "+test.says)
			require.Less(t, len(err.Error()), 512)
		})
	}
}

// Workers are other people's programs: they may say more, and need not say all.
func TestDecodeHeartbeatIsLenient(t *testing.T) {
	t.Parallel()
	for what, payload := range map[string]string{
		"the least":     `{"worker":{"id":"w1","port":9001,"status":"ready"}}`,
		"more fields":   `{"worker":{"id":"w1","port":9001,"status":"ready","gpu":0},"uptime":5}`,
		"null for none": `{"worker":{"id":"w1","port":9001,"status":"ready","pid":null,"host":null},"timestamp":null}`,
		"its last one":  `{"worker":{"id":"w1","port":9001,"status":"ready","port":9001}}`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			beat, err := messages.DecodeHeartbeat([]byte(payload))
			require.NoError(t, err)
			require.Equal(t, messages.WorkerInfo{ID: "w1", Port: 9001, Status: messages.StatusReady}, beat.Worker)
			require.True(t, beat.Timestamp.IsZero())
		})
	}
}

func TestDecodeHeartbeatTakesEveryStatus(t *testing.T) {
	t.Parallel()
	for _, status := range constants(t, "Status") {
		beat, err := messages.DecodeHeartbeat([]byte(`{"worker":{"id":"w1","port":1,"status":"` + status + `"}}`))
		require.NoError(t, err)
		require.Equal(t, messages.Status(status), beat.Worker.Status)
	}
}
