package messages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

const wirePage = "../docs/wire.md"

var (
	// example matches a fenced block that names a golden file behind its language.
	example = regexp.MustCompile("(?ms)^```(json|text) (\\w+)\n(.*?)^```$")
	// firstCell matches the code in the first cell of a table's row.
	firstCell = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)$")
	// natsRequest matches a request on the command line.
	natsRequest = regexp.MustCompile(`(?m)^nats req '([^']+)' '([^']+)'$`)
)

// With -update it writes the page, which the other tests read: those are parallel and go on after it.
func TestTheWirePageShowsTheGoldens(t *testing.T) {
	page := wire(t)
	shown := map[string]bool{}
	fresh := example.ReplaceAllStringFunc(page, func(block string) string {
		parts := example.FindStringSubmatch(block)
		name := parts[2] + map[string]string{"json": ".json", "text": ".txt"}[parts[1]]
		require.Contains(t, goldens(t), name)
		shown[name] = true
		return fmt.Sprintf("```%s %s\n%s```", parts[1], parts[2], goldens(t)[name])
	})
	for name := range goldens(t) {
		hidden := offPage[strings.TrimSuffix(name, ".json")]
		require.Equal(t, !hidden, shown[name], "%s must show every golden but those that no hive says; this one is %s", wirePage, name)
	}
	requireFile(t, wirePage, fresh)
}

func TestTheWirePageTellsEveryField(t *testing.T) {
	t.Parallel()
	for heading, message := range map[string]any{
		"## Job": messages.Job{}, "## Result": messages.Result{}, "## Failure": messages.Failure{}, "The fields of `error`:": messages.Error{},
		"## Event": messages.Event{}, "All of `fields` are optional": messages.Fields{}, "## Heartbeat": messages.Heartbeat{},
		"The fields of `worker`:": messages.WorkerInfo{}, "### worker_list": messages.ListRequest{}, "### worker_get": messages.GetRequest{},
		"### worker_delete": messages.DeleteJob{}, "### worker_logs": messages.LogsRequest{}, "### hive_status": messages.StatusRequest{}, "### catalog_list": messages.CatalogRequest{},
		"A page of workers:": messages.WorkerPage{}, "The fields of a worker:": messages.Worker{}, "One worker:": messages.WorkerAnswer{},
		"A deleted worker:": messages.Deleted{}, "A part of a log:": messages.Logs{}, "A hive:": messages.HiveInfo{},
		"The fields of a device:": messages.Device{}, "A page of a catalog:": messages.CatalogPage{}, "The fields of an entry:": messages.CatalogEntry{},
		"### A dry run": messages.Plan{},
	} {
		t.Run(heading, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, path := range fieldPaths(reflect.TypeOf(message)) {
				if !strings.Contains(path, ".") {
					want = append(want, path)
				}
			}
			got := table(t, heading)
			require.Equal(t, want, keys(got))
		})
	}
}

func TestTheWirePageTellsEveryHeaderCodeAndAction(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		messages.HeaderJobID, messages.HeaderHiveID, messages.HeaderReplayed, messages.HeaderError, messages.HeaderErrorCode,
	}, keys(table(t, "## Headers")))
	require.Equal(t, constants(t, "Action"), keys(table(t, "### Actions")))

	codes := table(t, "## Error codes")
	require.Equal(t, constants(t, "Code"), keys(codes))
	for _, row := range codes {
		number, _, _ := strings.Cut(strings.TrimSpace(row[1]), " ")
		require.Equal(t, strconv.Itoa(messages.Code(row[0]).Status()), number, row[0])
	}
}

func TestTheWirePageTellsEverySubject(t *testing.T) {
	t.Parallel()
	var s messages.Subjects
	named := func(subject string) string {
		return strings.NewReplacer("HIVE", "<hive>", "JOB", "<job_id>", "OP", "<operation>", "ACTION", "<action>", "WHAT", "<what>").Replace(subject)
	}
	require.Equal(t, []string{
		named(s.Request("HIVE", "OP")), named(s.Queued("HIVE", "OP", "JOB")), named(s.Result("HIVE", "JOB")), named(s.Narration("HIVE", "JOB", "ACTION")),
		named(s.Narration("HIVE", messages.AboutWorker, messages.ActionExited)), named(s.Narration("HIVE", messages.AboutHive, "ACTION")),
		named(s.Trace("HIVE", "JOB", "WHAT")),
	}, keys(table(t, "## Subjects")))
}

func TestTheRequestsOnTheWirePageAreTaken(t *testing.T) {
	t.Parallel()
	lines := natsRequest.FindAllStringSubmatch(wire(t), -1)
	asked := map[messages.Operation]bool{}
	for _, request := range lines {
		var s messages.Subjects
		op := s.Operation(request[1])
		require.Equal(t, s.Request("gpu-1", op), request[1])
		decode := reads(messages.DecodeJob)
		for _, k := range requests() {
			if k.op == op {
				decode = k.decode
			}
		}
		_, err := decode([]byte(request[2]), op)
		require.NoError(t, err)
		asked[op] = true
	}
	require.Len(t, asked, len(messages.Operations), "an example of each operation")
}

func TestTheLimitsOnTheWirePage(t *testing.T) {
	t.Parallel()
	page := wire(t)
	for _, text := range []string{
		fmt.Sprintf("%d bytes", messages.MaxPayload),
		fmt.Sprintf("1 to %d of", messages.MaxID),
		fmt.Sprintf("milliseconds, ≤ %d", messages.MaxReadyTimeout.Milliseconds()),
		fmt.Sprintf("milliseconds, ≤ %d", messages.MaxGrace.Milliseconds()),
		fmt.Sprintf("0 to %d", messages.MaxTail),
		fmt.Sprintf("bytes, ≤ %d", messages.MaxLogRange),
		fmt.Sprintf("%d lines", messages.DefaultTail),
		fmt.Sprintf("every %.0f seconds", messages.HeartbeatInterval.Seconds()),
		"POST <queen_url>" + messages.HeartbeatPath,
		"`" + messages.DefaultPrefix + "` is the default prefix",
	} {
		require.Contains(t, page, text)
	}
}

func TestTheWirePageNamesItsSchemas(t *testing.T) {
	t.Parallel()
	require.Contains(t, wire(t), "[schemas/](schemas)")
	for name := range schemas(t) {
		require.FileExists(t, filepath.Join(schemaDir, name+".schema.json"))
	}
}

func wire(tb testing.TB) string {
	tb.Helper()
	page, err := os.ReadFile(wirePage)
	require.NoError(tb, err)
	return string(page)
}

// table returns the rows of the first table behind a heading of the page: the code in their first cell and what follows.
func table(tb testing.TB, heading string) [][2]string {
	tb.Helper()
	_, below, found := strings.Cut(wire(tb), "\n"+heading)
	require.True(tb, found, "%s has no %q", wirePage, heading)
	_, below, found = strings.Cut(below, "\n| --- |")
	require.True(tb, found, "no table below %q", heading)
	below, _, _ = strings.Cut(below, "\n\n")
	var rows [][2]string
	for _, row := range firstCell.FindAllStringSubmatch(below, -1) {
		rows = append(rows, [2]string{row[1], strings.TrimSuffix(strings.TrimSpace(row[2]), "|")})
	}
	return rows
}

func keys(rows [][2]string) []string {
	list := make([]string, len(rows))
	for i, row := range rows {
		list[i] = row[0]
	}
	return list
}
