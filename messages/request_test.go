package messages_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// requestKind is a request other than a job.
type requestKind struct {
	op     messages.Operation
	fields map[string]string // the type of each
	least  string            // the fields that it must have
	decode func([]byte, messages.Operation) (encoder, error)
}

// requests returns every kind of request but the job, by the name of its schema.
func requests() map[string]requestKind {
	return map[string]requestKind{
		"catalog": {
			messages.CatalogList,
			map[string]string{"operation": "string", "hive_id": "string", "skip": "number"},
			"",
			reads(messages.DecodeCatalogRequest),
		},
		"list": {
			messages.WorkerList,
			map[string]string{"operation": "string", "hive_id": "string", "after": "string", "exited": "bool"},
			"",
			reads(messages.DecodeList),
		},
		"get": {
			messages.WorkerGet,
			map[string]string{"operation": "string", "hive_id": "string", "worker_id": "string"},
			`"worker_id":"w1"`,
			reads(messages.DecodeGet),
		},
		"delete": {
			messages.WorkerDelete,
			map[string]string{
				"operation": "string", "job_id": "string", "hive_id": "string", "worker_id": "string", "pid": "number", "grace_ms": "number",
				"deadline": "string",
			},
			`"worker_id":"w1"`,
			reads(messages.DecodeDelete),
		},
		"logs": {
			messages.WorkerLogs,
			map[string]string{
				"operation": "string", "hive_id": "string", "worker_id": "string", "tail": "number", "from": "number", "limit": "number",
			},
			`"worker_id":"w1"`,
			reads(messages.DecodeLogs),
		},
		"status": {
			messages.HiveStatus,
			map[string]string{"operation": "string", "hive_id": "string"},
			"",
			reads(messages.DecodeStatus),
		},
	}
}

func reads[R encoder](decode func([]byte, messages.Operation) (R, error)) func([]byte, messages.Operation) (encoder, error) {
	return func(data []byte, op messages.Operation) (encoder, error) { return decode(data, op) }
}

// with returns a request that holds fields besides what is required.
func (k requestKind) with(fields string) string {
	return "{" + strings.Join(slices.DeleteFunc([]string{k.least, fields}, func(s string) bool { return s == "" }), ",") + "}"
}

// refusals returns requests of this kind that are not valid, by what is wrong with them.
func (k requestKind) refusals() map[string]refusal {
	all := map[string]refusal{
		"half an object": {payload: `{"hive_id":`, names: thePayload, unseen: true},
		"two objects":    {payload: k.with("") + k.with(""), names: thePayload, unseen: true},
		"bad UTF-8":      {payload: k.with("\"hive_id\":\"\xff\""), names: thePayload},
		"a byte too many": {
			payload: k.with("") + strings.Repeat(" ", messages.MaxPayload), names: thePayload, unseen: true,
		},
		"null":              {payload: "null", names: thePayload},
		"a list":            {payload: "[" + k.with("") + "]", names: thePayload},
		"unknown field":     {payload: k.with(`"gpu":0`), names: "gpu"},
		"a command":         {payload: k.with(`"command":"/bin/sh"`), names: "command"},
		"a field of a job":  {payload: k.with(`"model":"m"`), names: "model"},
		"upper case":        {payload: k.with(`"Hive_id":"h"`), names: "Hive_id"},
		"escaped name":      {payload: k.with(`"hive\u005fid":"h"`), names: `hive\u005fid`, unseen: true},
		"twice":             {payload: k.with(`"hive_id":"h","hive_id":"h"`), names: "hive_id", unseen: true},
		"another operation": {payload: k.with(`"operation":"worker_spawn"`), names: "operation"},
		"operation case":    {payload: k.with(`"operation":` + quote(strings.ToUpper(string(k.op)))), names: "operation"},
	}
	switch {
	case k.op == messages.WorkerDelete:
		all["nothing"] = refusal{payload: "", names: thePayload, unseen: true}
	case k.least != "":
		all["nothing"] = refusal{payload: "", names: "worker_id", unseen: true}
	}
	values := map[string]string{"string": `"1"`, "number": `1`, "bool": `true`, "list": `["cpu"]`, "object": `{"a":"b"}`, "null": `null`}
	for field, kind := range k.fields {
		for other, value := range values {
			if other != kind {
				all[field+" is a "+other] = refusal{payload: k.instead(field, value), names: field}
			}
		}
		if strings.HasSuffix(field, "_id") || field == "after" {
			for _, id := range badIDs() {
				all[fmt.Sprintf("%s %.40q", field, id)] = refusal{payload: k.instead(field, quote(id)), names: field}
			}
		}
		for _, value := range outOfRange()[field] {
			all[field+" "+value] = refusal{payload: k.with(fmt.Sprintf("%q:%s", field, value)), names: field}
		}
		if kind == "number" {
			all[field+" in halves"] = refusal{payload: k.with(fmt.Sprintf("%q:2.5", field)), names: field}
			all[field+" with a point"] = refusal{payload: k.with(fmt.Sprintf("%q:2.0", field)), names: field, unseen: true}
			all[field+" past 64 bits"] = refusal{payload: k.with(fmt.Sprintf("%q:99999999999999999999", field)), names: field, unseen: field == "from"}
		}
	}
	if k.fields["deadline"] != "" {
		for _, value := range badTimes() {
			all["deadline "+value] = refusal{payload: k.with(`"deadline":` + quote(value)), names: "deadline"}
		}
	}
	if k.fields["worker_id"] != "" {
		all["no worker"] = refusal{payload: "{}", names: "worker_id"}
		all["an empty worker"] = refusal{payload: k.instead("worker_id", `""`), names: "worker_id"}
	}
	if k.fields["tail"] != "" {
		all["tail and from"] = refusal{payload: k.with(`"tail":5,"from":0`), names: "from", unseen: true}
		all["limit of a tail"] = refusal{payload: k.with(`"tail":5,"limit":100`), names: "limit", unseen: true}
		all["limit alone"] = refusal{payload: k.with(`"limit":100`), names: "limit", unseen: true}
		all["limit above"] = refusal{payload: k.with(`"from":0,"limit":1048577`), names: "limit"}
	}
	return all
}

// instead returns a request with this value of field, and what is required besides.
func (k requestKind) instead(field, value string) string {
	if strings.HasPrefix(k.least, quote(field)) {
		return fmt.Sprintf("{%q:%s}", field, value)
	}
	return k.with(fmt.Sprintf("%q:%s", field, value))
}

// outOfRange returns numbers that a field does not take.
func outOfRange() map[string][]string {
	return map[string][]string{
		"pid":      {"-1", "1", "2147483648", "4294967295"}, // kill(2) takes -1 for everybody; 1 is the system's first process
		"grace_ms": {"-1", "3600001"},
		"tail":     {"-1", "10001"},
		"from":     {"-1"},
	}
}

// accepted returns requests of this kind that are valid, by what is odd about them.
func (k requestKind) accepted() map[string]string {
	all := map[string]string{
		"nothing more":       k.with(""),
		"space around":       "\n\t " + k.with("") + "\r\n",
		"the largest":        k.with("") + strings.Repeat(" ", messages.MaxPayload-len(k.with(""))),
		"its operation":      k.with(`"operation":` + quote(string(k.op))),
		"empty means absent": k.with(`"operation":"","hive_id":""`),
		"a long id":          k.with(`"hive_id":"` + strings.Repeat("x", messages.MaxID) + `"`),
	}
	for field, values := range map[string][]string{
		"after": {`""`, `"w1"`}, "exited": {"true", "false"}, "skip": {"0", "1", "1000000"}, "pid": {"0", "2", "2147483647"}, "grace_ms": {"0", "1", "3600000"},
		"tail": {"0", "1", "10000"}, "from": {"0", "1", "9223372036854775807"}, "job_id": {`""`, `"j1"`},
		"deadline": {`"0001-01-01T00:00:00Z"`, `"2026-11-22T12:00:00.5+05:30"`, `"9999-12-31T23:59:59.999999999Z"`},
	} {
		if k.fields[field] == "" {
			continue
		}
		for _, value := range values {
			all[field+" "+value] = k.with(fmt.Sprintf("%q:%s", field, value))
		}
	}
	if k.fields["limit"] != "" {
		all["limits"] = k.with(`"from":7,"limit":1048576`)
		all["no limit"] = k.with(`"limit":0`)
		all["no tail and from"] = k.with(`"tail":0,"from":0`)
	}
	return all
}

func TestDecodeRequestRefuses(t *testing.T) {
	t.Parallel()
	for kind, k := range requests() {
		for what, refused := range k.refusals() {
			t.Run(kind+"/"+what, func(t *testing.T) {
				t.Parallel()
				got, err := k.decode([]byte(refused.payload), k.op)
				e := requireError(t, messages.InvalidJob, err)
				if refused.names == thePayload {
					require.Regexp(t, "^the payload ", e.Message)
				} else {
					name, why, _ := strings.Cut(e.Message, ": ")
					require.Equal(t, refused.names, name, e.Message)
					require.NotEmpty(t, why)
				}
				require.Less(t, len(e.Message), 512, "a message does not repeat what came")
				if job, ok := got.(messages.DeleteJob); ok {
					require.Equal(t, messages.DeleteJob{JobID: job.JobID, WorkerID: job.WorkerID}, job, "what is refused is not passed on")
					return
				}
				require.Zero(t, got, "what is refused is not passed on")
			})
		}
	}
}

func TestNothingAsksForAll(t *testing.T) {
	t.Parallel()
	list, err := messages.DecodeList(nil, messages.WorkerList)
	require.NoError(t, err)
	require.Equal(t, messages.ListRequest{Operation: messages.WorkerList}, list)
	status, err := messages.DecodeStatus(nil, messages.HiveStatus)
	require.NoError(t, err)
	require.Equal(t, messages.StatusRequest{Operation: messages.HiveStatus}, status)
}

func TestDecodeRequestAccepts(t *testing.T) {
	t.Parallel()
	for kind, k := range requests() {
		for what, payload := range k.accepted() {
			t.Run(kind+"/"+what, func(t *testing.T) {
				t.Parallel()
				got, err := k.decode([]byte(payload), k.op)
				require.NoError(t, err)
				sent, err := got.Encode()
				require.NoError(t, err)
				var want, have map[string]any
				require.NoError(t, json.Unmarshal([]byte(payload), &want))
				require.NoError(t, json.Unmarshal(sent, &have))
				require.Equal(t, string(k.op), have["operation"])
				for name, value := range want {
					if name != "operation" && name != "deadline" && value != "" && value != 0.0 && value != false {
						require.Equal(t, value, have[name], name)
					}
				}
			})
		}
	}
}

func TestRequestSchemasAcceptAndRefuseWhatAHiveDoes(t *testing.T) {
	t.Parallel()
	for kind, k := range requests() {
		schema := schemaOf(t, kind)
		for what, payload := range k.accepted() {
			require.NoError(t, validate(t, schema, []byte(payload)), "%s %s", kind, what)
		}
		for what, refused := range k.refusals() {
			if refused.unseen {
				seen := json.Valid([]byte(refused.payload)) && validate(t, schema, []byte(refused.payload)) != nil
				require.False(t, seen, "%s %s: it is seen", kind, what)
				continue
			}
			require.Error(t, validate(t, schema, []byte(refused.payload)), "%s %s", kind, what)
		}
	}
}

func TestEveryOperationHasItsDecoder(t *testing.T) {
	t.Parallel()
	decoders := map[messages.Operation]func([]byte, messages.Operation) (encoder, error){messages.WorkerSpawn: reads(messages.DecodeJob)}
	for _, k := range requests() {
		decoders[k.op] = k.decode
	}
	var known []string
	for _, op := range messages.Operations {
		require.Contains(t, decoders, op)
		known = append(known, string(op))
	}
	require.Equal(t, constants(t, "Operation"), known)

	for own, decode := range decoders {
		for _, op := range append(known, "", "worker_fry", strings.ToUpper(string(own)), string(own)+" ", "a\nb", strings.Repeat("x", 1000)) {
			if op == string(own) {
				continue
			}
			_, err := decode([]byte(`{}`), messages.Operation(op))
			e := requireError(t, messages.UnknownOperation, err)
			require.Contains(t, e.Message, string(own))
			require.Less(t, len(e.Message), 512)
		}
	}
	_, err := messages.DecodeJob([]byte(`{}`), "worker_fry")
	require.ErrorContains(t, err, "the known ones are worker_spawn, worker_list, worker_get, worker_delete, worker_logs, catalog_list, hive_status")
}

// Whoever waits for a job by its id hears that it was refused.
func TestARefusedDeleteKeepsItsIDs(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct{ payload, job, worker string }{
		"broken rule":       {`{"job_id":"j1","worker_id":"w1","pid":1}`, "j1", "w1"},
		"another operation": {`{"job_id":"j1","worker_id":"w1","operation":"x"}`, "j1", "w1"},
		"unknown field":     {`{"job_id":"j1","worker_id":"w1","x":0}`, "j1", ""},
		"wrong type":        {`{"job_id":"j1","pid":"9001"}`, "j1", ""},
		"no worker":         {`{"job_id":"j1"}`, "j1", ""},
		"bad worker id":     {`{"job_id":"j1","worker_id":"."}`, "j1", ""},
		"bad job id":        {`{"job_id":"a.b","worker_id":"w1"}`, "", "w1"},
		"half a job":        {`{"job_id":"j1"`, "", ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got, err := messages.DecodeDelete([]byte(test.payload), messages.WorkerDelete)
			require.ErrorIs(t, err, messages.InvalidJob)
			require.Equal(t, messages.DeleteJob{JobID: test.job, WorkerID: test.worker}, got)
		})
	}
	got, err := messages.DecodeDelete([]byte(`{"job_id":"j1"}`), messages.WorkerSpawn)
	require.ErrorIs(t, err, messages.UnknownOperation)
	require.Equal(t, messages.DeleteJob{JobID: "j1"}, got)
}

func TestRequestsEncodeOnlyWhatAHiveTakes(t *testing.T) {
	t.Parallel()
	for field, broken := range map[string]encoder{
		"after":     messages.ListRequest{After: "a.b"},
		"hive_id":   messages.StatusRequest{HiveID: "*"},
		"operation": messages.StatusRequest{Operation: messages.WorkerList},
		"worker_id": messages.GetRequest{},
		"pid":       messages.DeleteJob{WorkerID: "w1", PID: -1},
		"grace_ms":  messages.DeleteJob{WorkerID: "w1", GraceMS: -1},
		"deadline":  messages.DeleteJob{WorkerID: "w1", Deadline: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"tail":      messages.LogsRequest{WorkerID: "w1", Tail: -1},
		"from":      messages.LogsRequest{WorkerID: "w1", Tail: 1, From: new(int64(0))},
		"limit":     messages.LogsRequest{WorkerID: "w1", Limit: 1},
	} {
		data, err := broken.Encode()
		require.Empty(t, data, field)
		require.Regexp(t, "^"+field+": ", requireError(t, messages.InvalidJob, err).Message)
	}
}

func TestADeletesDeadlineIsInUTC(t *testing.T) {
	t.Parallel()
	got, err := messages.DecodeDelete([]byte(`{"worker_id":"w1","deadline":"2026-11-22T12:00:00+24:00"}`), messages.WorkerDelete)
	if err == nil { // a zone that Go reads and does not write
		require.Equal(t, time.UTC, got.Deadline.Location())
		_, err = got.Encode()
	}
	require.NoError(t, err)
	require.Equal(t, 1500*time.Millisecond, messages.DeleteJob{GraceMS: 1500}.Grace())
}

func TestLines(t *testing.T) {
	t.Parallel()
	require.Equal(t, 100, messages.LogsRequest{}.Lines())
	require.Equal(t, 7, messages.LogsRequest{Tail: 7}.Lines())
	require.Equal(t, 0, messages.LogsRequest{From: new(int64(0))}.Lines())
}
