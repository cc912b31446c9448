package messages_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"
)

const schemaDir = "../docs/schemas"

func TestSchemasAreWhatTheTypesSay(t *testing.T) {
	t.Parallel()
	for name, schema := range schemas(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.MarshalIndent(schema, "", "  ")
			require.NoError(t, err)
			requireFile(t, filepath.Join(schemaDir, name+".schema.json"), string(text)+"\n")
		})
	}
	files, err := filepath.Glob(schemaDir + "/*")
	require.NoError(t, err)
	for _, file := range files {
		if filepath.Base(file) == "manifest.schema.json" {
			continue // of a file that does not travel: package catalog holds it to its type
		}
		require.Contains(t, schemas(t), strings.TrimSuffix(filepath.Base(file), ".schema.json"), "a schema of nothing")
	}
}

func TestGoldensObeyTheirSchema(t *testing.T) {
	t.Parallel()
	for name, message := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, err := message.Encode()
			require.NoError(t, err)
			require.NoError(t, validate(t, schemaOf(t, name), sent))
		})
	}
}

func TestSchemaAcceptsWhatAHiveTakes(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, "job")
	for what, payload := range accepted() {
		require.NoError(t, validate(t, schema, []byte(payload)), what)
	}
}

// The schema refuses whatever a schema can see to be wrong, and the table of refusals says truly what it cannot.
func TestSchemaRefusesWhatAHiveRefuses(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, "job")
	for what, refused := range refusals() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if refused.unseen {
				require.True(t, !json.Valid([]byte(refused.payload)) || validate(t, schema, []byte(refused.payload)) == nil, "it is seen")
				return
			}
			require.Error(t, validate(t, schema, []byte(refused.payload)))
		})
	}
}

func TestSchemasOfAnswersAreOpen(t *testing.T) {
	t.Parallel()
	for name := range samples() {
		kind, _, _ := strings.Cut(name, "_")
		if _, asked := requests()[kind]; asked || kind == "job" {
			continue
		}
		changed := change(t, name, "of_a_newer_program", map[string]any{"x": 1})
		require.NoError(t, validate(t, schemaOf(t, name), changed), name)
	}
}

func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		golden, path string
		value        any // nil: without the field
	}{
		"no job":               {"result", "job_id", nil},
		"bad hive":             {"result", "hive_id", "a.b"},
		"pid 0":                {"result", "pid", 0},
		"everybody's pid":      {"result", "pid", 4294967295},
		"port 0":               {"result", "port", 0},
		"another source":       {"result", "source", "internet"},
		"another type":         {"result", "worker_type", "TpuLlm"},
		"no time":              {"result", "started_at", "today"},
		"time of a clock":      {"result", "started_at", 1795348800},
		"replayed as text":     {"result", "replayed", "false"},
		"no error":             {"failure", "error", nil},
		"error as text":        {"failure", "error", "no luck"},
		"no code":              {"failure", "error.code", nil},
		"another code":         {"failure", "error.code", "bad_luck"},
		"no message":           {"failure", "error.message", nil},
		"retryable as text":    {"failure", "error.retryable", "no"},
		"log tail as text":     {"failure_worker_exited", "error.log_tail", "bye"},
		"exit code as null":    {"failure_worker_exited", "error.exit_code", json.RawMessage("null")},
		"another event":        {"event", "type", "io.nats.jetstream.advisory"},
		"another actor":        {"event", "actor", "queen"},
		"another action":       {"event", "action", "worker_moved"},
		"another level":        {"event", "level", "debug"},
		"seq before the first": {"event", "seq", -1},
		"no seq":               {"event", "seq", nil},
		"half a seq":           {"event", "seq", 1.5},
		"bad job":              {"event", "job_id", "@hive"},
		"args as text":         {"event", "fields.args", "--model m"},
		"code in an event":     {"event_failed", "fields.error.code", "bad_luck"},
		"no worker":            {"heartbeat", "worker", nil},
		"bad worker":           {"heartbeat", "worker.id", "a.b"},
		"another status":       {"heartbeat", "worker.status", "dead"},
		"host with a line end": {"heartbeat", "worker.host", "a\nb"},
		"another state":        {"worker", "worker.state", "dead"},
		"no state":             {"worker", "worker.state", nil},
		"no worker id":         {"worker", "worker.worker_id", ""},
		"failure as text":      {"worker", "worker.failure", "no luck"},
		"workers as null":      {"workers", "workers", json.RawMessage("null")},
		"one of them bad":      {"workers", "workers", json.RawMessage(`[{"worker_id":"w1"}]`)},
		"no next":              {"workers", "next", nil},
		"another signal":       {"deleted", "signal", "SIGSTOP"},
		"nothing ended":        {"deleted", "processes", 0},
		"lines as text":        {"log", "lines", "bye"},
		"before the beginning": {"log", "from", -1},
		"no devices":           {"hive", "devices", nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			require.Error(t, validate(t, schemaOf(t, test.golden), change(t, test.golden, test.path, test.value)))
		})
	}
}

// schemaOf returns the schema that a golden file must obey.
func schemaOf(tb testing.TB, golden string) *jsonschema.Resolved {
	tb.Helper()
	kind, _, _ := strings.Cut(golden, "_")
	require.Contains(tb, schemas(tb), kind)
	return resolve(tb, schemas(tb)[kind])
}

func resolve(tb testing.TB, schema *jsonschema.Schema) *jsonschema.Resolved {
	tb.Helper()
	resolved, err := schema.Resolve(nil)
	require.NoError(tb, err)
	return resolved
}

// validate returns what the schema has against data, which must be JSON.
func validate(tb testing.TB, schema *jsonschema.Resolved, data []byte) error {
	tb.Helper()
	var value any
	require.NoError(tb, json.Unmarshal(data, &value))
	return schema.Validate(value)
}

// change returns a golden message with another value at path, or with none if that is nil.
func change(tb testing.TB, golden, path string, value any) []byte {
	tb.Helper()
	var message map[string]any
	require.NoError(tb, json.Unmarshal([]byte(goldens(tb)[golden+".json"]), &message))
	names := strings.Split(path, ".")
	object := message
	for _, name := range names[:len(names)-1] {
		object = object[name].(map[string]any)
	}
	delete(object, names[len(names)-1])
	if value != nil {
		object[names[len(names)-1]] = value
	}
	data, err := json.Marshal(message)
	require.NoError(tb, err)
	return data
}
