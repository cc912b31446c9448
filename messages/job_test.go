package messages_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestDecodeJobRefuses(t *testing.T) {
	t.Parallel()
	for what, refused := range refusals() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got, err := messages.DecodeJob([]byte(refused.payload), messages.WorkerSpawn)
			e := requireError(t, messages.InvalidJob, err)
			if refused.names == thePayload {
				require.Regexp(t, "^the payload ", e.Message)
			} else {
				name, why, _ := strings.Cut(e.Message, ": ")
				require.Equal(t, refused.names, name, e.Message)
				require.NotEmpty(t, why)
			}
			require.Less(t, len(e.Message), 512, "a message does not repeat what came")
			require.Empty(t, got.Model, "what is refused is not passed on")
		})
	}
}

// accepted returns jobs that are valid, by what is odd about them.
func accepted() map[string]string {
	long := strings.Repeat("x", messages.MaxID)
	return map[string]string{
		"nothing more":          `{"model":"m","device":"cpu"}`,
		"the largest":           padded(messages.MaxPayload),
		"space around":          "\n\t " + job(`"port" : 0`) + "\r\n",
		"empty means absent":    job(`"operation":"","job_id":"","hive_id":"","worker_id":"","worker":"","version":"","queen_url":"","wait":""`),
		"zero means absent":     job(`"port":0,"ready_timeout_ms":0,"deadline":"0001-01-01T00:00:00Z"`),
		"its operation":         job(`"operation":"worker_spawn"`),
		"long ids":              job(`"job_id":"` + long + `","hive_id":"` + long + `","worker_id":"` + long + `","worker":"` + long + `","version":"` + long + `"`),
		"ids of dashes":         job(`"job_id":"-","hive_id":"_","worker_id":"--"`),
		"ids as bad values":     job(`"job_id":"null","hive_id":"0"`),
		"escaped value":         job(`"job_id":"\u0061"`),
		"JSON in a model":       `{"model":"{\"model\":\"\\\\\",\"x\":[1]}","device":"cpu","port":1}`,
		"quotes in a model":     `{"model":"a\\\"b","device":"cpu","job_id":"j"}`,
		"path as a model":       `{"model":"/srv/models/my model (1).gguf","device":"cpu"}`,
		"letters of the world":  `{"model":"модель/模型-🦙","device":"cpu"}`,
		"longest model":         `{"model":"` + strings.Repeat("m", 1024) + `","device":"cpu"}`,
		"inner dash":            `{"model":"m -x","device":"cpu"}`,
		"device for others":     `{"model":"m","device":"QUANTUM:-1"}`,
		"lowest port":           job(`"port":1`),
		"highest port":          job(`"port":65535`),
		"longest wait":          job(`"wait":"ready","ready_timeout_ms":86400000`),
		"wait is the default":   job(`"wait":"spawned"`),
		"deadline has passed":   job(`"deadline":"1970-01-01T00:00:00Z"`),
		"deadline far away":     job(`"deadline":"9999-12-31T23:59:59.999999999Z"`),
		"deadline with an hour": job(`"deadline":"2026-11-22T12:00:00.5+05:30"`),
		"versions":              job(`"version":"1.2.3-rc.1+build_7","worker":"llama-server"`),
		"queen over TLS":        job(`"queen_url":"https://queen.example:8443/base"`),
		"queen with a password": job(`"queen_url":"http://user:secret@queen"`),
		"queen by IPv6":         job(`"queen_url":"http://[::1]:8500"`),
		"queen in capitals":     job(`"queen_url":"HTTP://QUEEN"`),
	}
}

func TestDecodeJobAccepts(t *testing.T) {
	t.Parallel()
	for what, payload := range accepted() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got, err := messages.DecodeJob([]byte(payload), messages.WorkerSpawn)
			require.NoError(t, err)
			want := messages.Job{}
			require.NoError(t, json.Unmarshal([]byte(payload), &want))
			want.Operation, want.Deadline = messages.WorkerSpawn, want.Deadline.UTC()
			require.Equal(t, want, got)
		})
	}
}

// Go reads offsets that it refuses to write; a job that was taken can always be passed on.
func TestADeadlineIsInUTC(t *testing.T) {
	t.Parallel()
	for _, offset := range []string{"+02:00", "+24:00", "-23:60"} {
		got, err := messages.DecodeJob([]byte(job(`"deadline":"2026-11-22T12:00:00`+offset+`"`)), messages.WorkerSpawn)
		require.NoError(t, err)
		require.Equal(t, time.UTC, got.Deadline.Location())
		_, err = got.Encode()
		require.NoError(t, err)
	}
}

func TestDecodeJobOfAnOperationThatIsNone(t *testing.T) {
	t.Parallel()
	for _, op := range []messages.Operation{"", "worker_delete", "WORKER_SPAWN", "worker_spawn ", "a\nb", messages.Operation(strings.Repeat("x", 1000))} {
		got, err := messages.DecodeJob([]byte(`{"job_id":"job-1"}`), op)
		e := requireError(t, messages.UnknownOperation, err)
		require.Contains(t, e.Message, string(messages.WorkerSpawn))
		require.Less(t, len(e.Message), 512)
		require.Equal(t, messages.Job{JobID: "job-1"}, got)
	}
}

// Whoever waits for a job by its id hears that it was refused.
func TestARefusedJobKeepsItsID(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct{ payload, job, worker string }{
		"broken rule":       {job(`"job_id":"j1","worker_id":"w1","port":-1`), "j1", "w1"},
		"another operation": {job(`"job_id":"j1","worker_id":"w1","operation":"x"`), "j1", "w1"},
		"unknown field":     {job(`"job_id":"j1","x":0`), "j1", ""},
		"wrong type":        {job(`"job_id":"j1","port":"9001"`), "j1", ""},
		"wrong time":        {job(`"deadline":"soon","job_id":"j1"`), "j1", ""},
		"bad worker id":     {job(`"job_id":"j1","worker_id":"."`), "j1", ""},
		"bad job id":        {job(`"job_id":"a.b","worker_id":"w1"`), "", "w1"},
		"job id is no text": {job(`"job_id":7,"x":0`), "", ""},
		"half a job":        {`{"job_id":"j1"`, "", ""},
		"too large a job":   {job(`"job_id":"j1"`) + strings.Repeat(" ", messages.MaxPayload), "", ""},
		"two bad fields":    {job(`"job_id":"a.b","x":0`), "", ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got, err := messages.DecodeJob([]byte(test.payload), messages.WorkerSpawn)
			require.ErrorIs(t, err, messages.InvalidJob)
			require.Equal(t, messages.Job{JobID: test.job, WorkerID: test.worker}, got)
		})
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	t.Parallel()
	valid := messages.Job{Operation: messages.WorkerSpawn, Model: "m", Device: "cpu"}
	for field, breakIt := range map[string]func(*messages.Job){
		"operation":        func(j *messages.Job) { j.Operation = "" },
		"job_id":           func(j *messages.Job) { j.JobID = "a.b" },
		"hive_id":          func(j *messages.Job) { j.HiveID = "*" },
		"model":            func(j *messages.Job) { j.Model = "m\xff" },
		"device":           func(j *messages.Job) { j.Device = "" },
		"worker_id":        func(j *messages.Job) { j.WorkerID = ">" },
		"worker":           func(j *messages.Job) { j.Worker = "../x" },
		"version":          func(j *messages.Job) { j.Version = "/" },
		"port":             func(j *messages.Job) { j.Port = 65536 },
		"queen_url":        func(j *messages.Job) { j.QueenURL = "queen" },
		"wait":             func(j *messages.Job) { j.Wait = "soon" },
		"ready_timeout_ms": func(j *messages.Job) { j.ReadyTimeoutMS = -1 },
		"deadline":         func(j *messages.Job) { j.Deadline = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			broken := valid
			breakIt(&broken)
			data, err := broken.Encode()
			require.Empty(t, data)
			require.Regexp(t, "^"+field+": ", requireError(t, messages.InvalidJob, err).Message)
		})
	}
	_, err := valid.Encode()
	require.NoError(t, err)
}

func TestASecretInAQueenURLIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, queen := range []string{"ftp://user:hush@queen", "http://user:hush@queen:99999", "http://user:hush@", "http://user:hush@qu een"} {
		err := messages.CheckQueenURL(queen)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hush")
	}
}

func TestSameSpec(t *testing.T) {
	t.Parallel()
	running := messages.Job{
		Operation: messages.WorkerSpawn, JobID: "j1", WorkerID: "w1", Model: "m", Device: "cpu", Worker: "w", Version: "1", Port: 9001,
		QueenURL: queenURL, Wait: messages.WaitSpawned,
	}
	for what, test := range map[string]struct {
		change func(*messages.Job)
		same   bool
	}{
		"nothing":   {func(*messages.Job) {}, true},
		"who asks":  {func(j *messages.Job) { j.JobID, j.WorkerID, j.HiveID = "j2", "", "h" }, true},
		"how long":  {func(j *messages.Job) { j.Wait, j.ReadyTimeoutMS, j.Deadline = messages.WaitReady, 5, noon }, true},
		"any port":  {func(j *messages.Job) { j.Port = 0 }, true},
		"port":      {func(j *messages.Job) { j.Port = 9002 }, false},
		"model":     {func(j *messages.Job) { j.Model = "other" }, false},
		"device":    {func(j *messages.Job) { j.Device = "cuda:0" }, false},
		"worker":    {func(j *messages.Job) { j.Worker = "" }, false},
		"version":   {func(j *messages.Job) { j.Version = "2" }, false},
		"queen_url": {func(j *messages.Job) { j.QueenURL = "" }, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			asked := running
			test.change(&asked)
			require.Equal(t, test.same, asked.SameSpec(running))
		})
	}
}

func TestReadyTimeoutIsInMilliseconds(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1500*time.Millisecond, messages.Job{ReadyTimeoutMS: 1500}.ReadyTimeout())
	require.Equal(t, messages.MaxReadyTimeout, messages.Job{ReadyTimeoutMS: messages.MaxReadyTimeout.Milliseconds()}.ReadyTimeout())
}

// requireError returns the failure in err, which must have the code and a message that is fit for a header.
func requireError(t *testing.T, code messages.Code, err error) *messages.Error {
	t.Helper()
	require.ErrorIs(t, err, code)
	var e *messages.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
	require.True(t, utf8.ValidString(e.Message))
	require.False(t, strings.ContainsFunc(e.Message, unicode.IsControl), "%q", e.Message)
	return e
}

// quote returns text as a JSON string.
func quote(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}
