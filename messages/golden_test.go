package messages_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// update makes the tests write what they otherwise compare: golden files, schemas and the examples of docs/wire.md.
var update = flag.Bool("update", false, "rewrite testdata, docs/schemas and the examples in docs/wire.md")

// A golden file holds a message as it travels, indented, or a set of headers. Its name begins with what it is.
func TestGoldens(t *testing.T) {
	t.Parallel()
	for name, text := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFile(t, filepath.Join("testdata", name), text)
		})
	}
}

// What is on the wire is the golden file on one line.
func TestMessagesTravelOnOneLine(t *testing.T) {
	t.Parallel()
	for name, message := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, err := message.Encode()
			require.NoError(t, err)
			var line bytes.Buffer
			require.NoError(t, json.Compact(&line, []byte(goldens(t)[name+".json"])))
			require.Equal(t, line.String(), string(sent))
			require.NotContains(t, string(sent), "\n")
		})
	}
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	for name, message := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, err := message.Encode()
			require.NoError(t, err)
			switch message := message.(type) {
			case messages.Job:
				got, err := messages.DecodeJob(sent, messages.WorkerSpawn)
				require.NoError(t, err)
				require.Equal(t, message, got)
			case messages.Result:
				got, err := messages.DecodeResult(sent)
				require.NoError(t, err)
				require.Equal(t, message, got)
			case messages.Failure:
				got, err := messages.DecodeResult(sent)
				require.Equal(t, message.Err, err)
				require.Equal(t, messages.Result{JobID: message.JobID, HiveID: message.HiveID}, got)
			case messages.Event:
				got, err := messages.DecodeEvent(sent)
				require.NoError(t, err)
				require.Equal(t, message, got)
			case messages.Heartbeat:
				got, err := messages.DecodeHeartbeat(sent)
				require.NoError(t, err)
				require.Equal(t, message, got)
			case messages.ListRequest, messages.GetRequest, messages.DeleteJob, messages.LogsRequest, messages.StatusRequest, messages.CatalogRequest:
				kind, _, _ := strings.Cut(name, "_")
				got, err := requests()[kind].decode(sent, requests()[kind].op)
				require.NoError(t, err)
				require.Equal(t, message, got)
			case messages.WorkerPage, messages.WorkerAnswer, messages.Deleted, messages.Logs, messages.HiveInfo, messages.Plan, messages.CatalogPage:
				kind, _, _ := strings.Cut(name, "_")
				got, err := answers()[kind](sent)
				require.NoError(t, err)
				require.Equal(t, message, got)
			default:
				t.Fatalf("no decoder for %T", message)
			}
		})
	}
}

func TestTestdataHoldsNothingElse(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.*")
	require.NoError(t, err)
	for _, file := range files {
		if _, known := goldens(t)[filepath.Base(file)]; known {
			continue
		}
		require.True(t, *update, "%s is no golden file any more", file)
		require.NoError(t, os.Remove(file))
	}
}

func TestGoldensShowEveryField(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for name, message := range samples() {
		var value any
		require.NoError(t, json.Unmarshal([]byte(goldens(t)[name+".json"]), &value))
		markPaths(shown, reflect.TypeOf(message).Name(), value)
	}
	for prefix, message := range map[string]any{
		"Job": messages.Job{}, "Result": messages.Result{}, "Failure": messages.Failure{}, "Failure.error": messages.Error{},
		"Event": messages.Event{}, "Heartbeat": messages.Heartbeat{}, "ListRequest": messages.ListRequest{},
		"GetRequest": messages.GetRequest{}, "DeleteJob": messages.DeleteJob{}, "LogsRequest": messages.LogsRequest{},
		"StatusRequest": messages.StatusRequest{}, "WorkerPage": messages.WorkerPage{},
		"WorkerAnswer": messages.WorkerAnswer{}, "Deleted": messages.Deleted{}, "Logs": messages.Logs{}, "HiveInfo": messages.HiveInfo{},
		"CatalogRequest": messages.CatalogRequest{}, "CatalogPage": messages.CatalogPage{}, "Plan": messages.Plan{},
	} {
		for _, path := range fieldPaths(reflect.TypeOf(message)) {
			require.True(t, shown[where(prefix+"."+path)], "no golden file shows %s.%s", prefix, path)
		}
	}
}

// goldens returns the texts of all golden files by their names.
func goldens(tb testing.TB) map[string]string {
	tb.Helper()
	texts := map[string]string{}
	for name, message := range samples() {
		sent, err := message.Encode()
		require.NoError(tb, err)
		var text bytes.Buffer
		require.NoError(tb, json.Indent(&text, sent, "", "  "))
		texts[name+".json"] = text.String() + "\n"
	}
	for name, headers := range headerSets() {
		var text strings.Builder
		for _, header := range headers {
			fmt.Fprintf(&text, "%s: %s\n", header[0], header[1])
		}
		texts[name+".txt"] = text.String()
	}
	return texts
}

// requireFile compares the file at path with want, or writes it.
func requireFile(tb testing.TB, path, want string) {
	tb.Helper()
	if *update {
		require.NoError(tb, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	got, err := os.ReadFile(path)
	require.NoError(tb, err, "run: go test ./messages -update")
	require.Equal(tb, want, string(got), "%s is not what the code says; if the code is right: go test ./messages -update", path)
}

// markPaths notes the path of every field in value, like "Event.fields.pid".
func markPaths(shown map[string]bool, path string, value any) {
	shown[where(path)] = true
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			markPaths(shown, path+"."+name, field)
		}
	case []any:
		for _, item := range value {
			markPaths(shown, path, item)
		}
	}
}

// where returns the path of a field, the same one for a worker wherever it stands.
func where(path string) string {
	return strings.NewReplacer("WorkerPage.workers.", "Worker.", "WorkerAnswer.worker.", "Worker.").Replace(path)
}

// fieldPaths returns the path of every field of a message's type, as JSON names it. It does not follow pointers.
func fieldPaths(kind reflect.Type) []string {
	var paths []string
	for _, field := range reflect.VisibleFields(kind) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		paths = append(paths, name)
		inner := field.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() == kind.PkgPath() {
			for _, path := range fieldPaths(inner) {
				paths = append(paths, name+"."+path)
			}
		}
	}
	return paths
}
