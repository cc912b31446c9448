//go:build linux

package e2e_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plain is the rest of a job that nothing but the machine keeps from its worker.
const plain = `"model":"m","device":"cpu"`

// plays is the rest of a job whose worker plays the model.
func plays(model string, more ...string) string {
	return strings.Join(append([]string{fmt.Sprintf(`"model":%q,"device":"cpu"`, model)}, more...), ",")
}

// installed is the rest of a job for a worker of the catalog.
func installed(name string) string { return fmt.Sprintf(`"worker":%q,%s`, name, plain) }

// causes is the matrix.
func (s *scene) causes() map[string]cause {
	gone := s.machines["unlogged"].path("logs")
	all := map[string]cause{
		// What the job asks for.
		"a field that breaks a rule":          {job: plays("--port=1"), code: "invalid_job", status: "400", says: []string{"model: "}},
		"a field that no job has":             {job: plain + `,"command":"sh"`, code: "invalid_job", status: "400", says: []string{"command: "}},
		"a queen that is none":                {job: plain + `,"queen_url":"ftp://keeper:` + password + `@queen"`, code: "invalid_job", status: "400", says: []string{"queen_url"}},
		"another hive's job":                  {job: plain + `,"hive_id":"gpu-2"`, code: "wrong_hive", status: "400", says: []string{"gpu-2"}},
		"a device that is none":               {job: `"model":"m","device":"cpufoo"`, code: "unsupported_device", status: "400", says: []string{"cpufoo"}},
		"a device of another system":          {job: `"model":"m","device":"metal"`, code: "unsupported_platform", status: "400", says: []string{"metal", "linux"}},
		"a device that there is not":          {job: `"model":"m","device":"cuda:7"`, code: "device_not_found", status: "404", says: []string{"cuda:7", "cpu, cuda:0, cuda:1"}},
		"a deadline that passed":              {job: plain + `,"deadline":"2020-01-01T00:00:00Z"`, code: "deadline_exceeded", status: "408", says: []string{"2020-01-01T00:00:00Z"}},
		"another's worker id":                 {job: plays("other-model", `"worker_id":"neighbour"`), code: "worker_conflict", status: "409", says: []string{"neighbour", "use another worker_id"}, others: true},
		"a job that came with other values":   {job: plays("other-model", `"worker_id":"neighbour","job_id":"neighbour"`), code: "worker_conflict", status: "409", says: []string{"job neighbour came before"}, others: true},
		"a port of another worker":            {job: plain + s.port(s.neighbour.Port), code: "port_in_use", status: "409", says: []string{"worker neighbour", strconv.Itoa(s.neighbour.PID)}},
		"a port of a stranger":                {job: plain + s.port(s.stranger), code: "port_in_use", status: "409", says: []string{fmt.Sprintf("(PID %d)", os.Getpid())}},
		"no free port":                        {hive: "full", job: plain, code: "no_free_port", status: "503", says: []string{"--port-range"}, retryable: true},
		"a hive that is busy":                 {hive: "busy", job: plain, code: "hive_busy", status: "503", says: []string{"1 jobs at work"}, retryable: true},
		"a hive that stops":                   {hive: "stopping", job: plain, code: "hive_draining", status: "503", says: []string{"stopping"}, retryable: true},
		"a working directory that is missing": {hive: "nowhere", job: plain, code: "spawn_failed", status: "500", says: []string{s.machines["nowhere"].path("nowhere"), "does not exist"}},
		"a log directory that is none":        {hive: "unlogged", job: plain, code: "spawn_failed", status: "500", says: []string{gone, "not a directory"}},
		"a log that is a directory": {
			job:  plain + `,"job_id":"log-is-a-directory","worker_id":"w-log"`,
			code: "spawn_failed", status: "500", says: []string{"w-log.log-is-a-directory.log", "is a directory"}, others: true,
		},

		// What is installed.
		"a worker that is missing":      {job: `"model":"m","device":"cuda:0"`, code: "worker_not_installed", status: "404", says: []string{"cuda-llm-worker-rbee", "install it"}, check: requireTried},
		"a version that is missing":     {job: plain + `,"version":"0.2.0"`, code: "worker_not_installed", status: "404", says: []string{"0.2.0", "0.1.0"}},
		"no program and no script":      {job: installed("text-worker"), code: "binary_invalid", status: "422", says: []string{"text-worker", "#!"}},
		"an empty file":                 {job: installed("empty-worker"), code: "binary_invalid", status: "422", says: []string{"empty-worker", "is empty"}},
		"half a program":                {job: installed("half-worker"), code: "binary_invalid", status: "422", says: []string{"half-worker", "cut short"}},
		"not executable":                {job: installed("plain-worker"), code: "binary_invalid", status: "422", says: []string{"plain-worker", "chmod"}},
		"another machine's program":     {job: installed("foreign-worker"), code: "binary_invalid", status: "422", says: []string{"foreign-worker", "loong64"}},
		"open to everyone":              {job: installed("open-worker"), code: "binary_invalid", status: "422", says: []string{"everyone", "chmod go-w"}},
		"open to its group":             {job: installed("group-worker"), code: "binary_invalid", status: "422", says: []string{"its group", "chmod go-w"}},
		"a directory":                   {job: installed("directory-worker"), code: "binary_invalid", status: "422", says: []string{"is a directory"}},
		"a link to nothing":             {job: installed("dangling-worker"), code: "binary_invalid", status: "422", says: []string{"dangling-worker"}},
		"no interpreter":                {job: installed("script-worker"), code: "binary_invalid", status: "422", says: []string{"/no/such/interpreter"}},
		"line ends of Windows":          {job: installed("windows-worker"), code: "binary_invalid", status: "422", says: []string{"Windows line ends"}},
		"no loader":                     {job: installed("unloaded-worker"), code: "binary_invalid", status: "422", says: []string{"/no/such/loader.so"}},
		"a program that is written now": {job: installed("written-worker"), code: "spawn_failed", status: "500", says: []string{"written"}, retryable: true, check: requireCommand},
	}
	maps.Copy(all, s.ends())
	return all
}

// ends is the part of the matrix in which a worker runs.
func (s *scene) ends() map[string]cause {
	said := "fatal: no such tensor"
	all := map[string]cause{
		"a word that is missing": {job: plays("quiet:3"), exit: 3, says: []string{"exited with code 3", "wrote nothing"}},
		"lines without number": {job: plays("flood:3"), exit: 3, says: []string{"the end"}, check: func(t *testing.T, f *failure) {
			require.Equal(t, "the end", f.LogTail[len(f.LogTail)-1])
		}},
		"a line without an end": {job: plays("endless:4"), exit: 4, says: []string{"exited with code 4", "the end"}, check: func(t *testing.T, f *failure) {
			require.True(t, strings.HasSuffix(f.LogTail[len(f.LogTail)-1], "the end"), "what came last is what counts: %q", f.LogTail)
		}},
		"what is no text": {job: plays("garbage:5"), exit: 5, says: []string{"at last �something"}, check: func(t *testing.T, f *failure) {
			require.Len(t, f.LogTail, 20)
		}},
		"a password in the log": {job: plays("confess:6"), exit: 6, says: []string{redacted}, check: func(t *testing.T, f *failure) {
			require.Contains(t, strings.Join(f.LogTail, " "), redacted)
		}},
		"an end while it loads": {job: plays("fades:7", `"wait":"ready"`), exit: 7, says: []string{"out of tensors"}, tail: []string{"playing fades:7", "out of tensors"}},
		"a process that it leaves": {job: plays("orphans"), exit: 0, says: []string{"exited with code 0"}, check: func(t *testing.T, f *failure) {
			require.Len(t, f.LogTail, 2)
		}, after: func(t *testing.T, w found) {
			require.Equal(t, "starting", w.State, "something of it runs")
			require.Equal(t, 1, w.Processes)
			require.Equal(t, 1, s.end(t, "gpu-1", w.WorkerID).Processes)
		}},
	}
	for _, code := range []int{0, 1, 3, 127} {
		all[fmt.Sprintf("exit %d", code)] = cause{
			job: plays(fmt.Sprintf("exit:%d", code)), exit: code, says: []string{fmt.Sprintf("exited with code %d", code), said},
			tail: []string{fmt.Sprintf("playing exit:%d", code), said},
		}
	}
	for number, signal := range map[int]string{6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"} {
		all["die of "+signal] = cause{
			job: plays(fmt.Sprintf("die:%d", number)), exit: -1, signal: signal, says: []string{"ended by " + signal},
			tail: []string{fmt.Sprintf("playing die:%d", number)},
		}
	}
	for name, c := range all {
		c.code, c.status, c.ran = "worker_exited", "502", true
		all[name] = c
	}
	maps.Copy(all, s.unready())
	return all
}

// unready is the part of the matrix in which a worker runs and does not serve.
func (s *scene) unready() map[string]cause {
	runs := func(t *testing.T, w found) {
		require.Equal(t, "starting", w.State)
		require.True(t, alive(w.PID))
		require.Nil(t, w.ExitCode)
		s.end(t, "hasty", w.WorkerID)
	}
	lived := func(line string) func(*testing.T, *failure) {
		return func(t *testing.T, f *failure) {
			require.GreaterOrEqual(t, f.LivedMS, int64(500))
			require.Equal(t, []string{line}, f.LogTail)
		}
	}
	return map[string]cause{
		"never ready": {
			hive: "hasty", job: plays("loading", `"wait":"ready","ready_timeout_ms":500`),
			code: "not_ready", status: "504", says: []string{"not ready within 500ms", "/health"},
			retryable: true, ran: true, exit: -1, check: lived("playing loading"), after: runs,
		},
		"never listens": {
			hive: "hasty", job: plays("mute", `"wait":"ready","ready_timeout_ms":500`),
			code: "not_ready", status: "504", says: []string{"not ready within 500ms", "/health"},
			retryable: true, ran: true, exit: -1, check: lived("playing mute"), after: runs,
		},
		"a stranger that answers": {
			hive: "hasty", job: plays("mute", `"wait":"ready"`, fmt.Sprintf(`"port":%d`, s.machines["hasty"].gatedPort)),
			during: func(t *testing.T, w *tap, id string) {
				w.peek("rbee.v1.narration.hasty." + id + ".worker_spawned")
				log := s.machines["hasty"].path("logs", "w-"+id+"."+id+".log")
				require.Eventually(t, func() bool { return strings.HasSuffix(readFile(t, log), "\n") }, patience, time.Millisecond)
				s.answerOn(t, s.machines["hasty"].gatedPort)
			},
			code: "port_in_use", status: "409", says: []string{strconv.Itoa(s.machines["hasty"].gatedPort), fmt.Sprintf("(PID %d)", os.Getpid())},
			ran: true, exit: -1, tail: []string{"playing mute"}, after: runs,
		},
	}
}

// end deletes a worker that its failed job left running.
func (s *scene) end(t *testing.T, hive, worker string) deleted {
	t.Helper()
	body := fmt.Sprintf(`{"worker_id":%q}`, worker)
	d, err := ask[deleted](t.Context(), s.wire.nc, hive, "worker_delete", body)
	require.NoError(t, err)
	require.Nil(t, d.Error)
	a, err := ask[single](t.Context(), s.wire.nc, hive, "worker_get", body)
	require.NoError(t, err)
	require.Equal(t, "exited", a.Worker.State)
	return d
}

// answerOn serves every request on the port, until the test ends.
func (s *scene) answerOn(t *testing.T, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
}

func (s *scene) port(number int) string { return fmt.Sprintf(`,"port":%d`, number) }

func requireTried(t *testing.T, f *failure) { require.NotEmpty(t, f.Tried) }

func requireCommand(t *testing.T, f *failure) {
	require.Equal(t, redacted, f.Command[len(f.Command)-1])
}
