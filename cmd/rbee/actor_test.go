package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// actor plays a hive by a script: a directory with its answers.
type actor struct {
	id  string
	dir string
	nc  *nats.Conn

	mu    sync.Mutex
	asked map[messages.Operation]int
}

// runActor starts a hive that answers by a script: actor ID DIRECTORY. It answers the nth request of an operation with the file
// <operation>.<n>.json or, where there is none, with <operation>.json. In both JOB stands for the job's id. Before that it tells
// <operation>.story, whose lines are the action, the level and the text of an event. What was asked is added to asked.txt.
// It takes as long to answer as <operation>.delay says.
func runActor(ts *testscript.TestScript, _ bool, args []string) {
	nc, err := nats.Connect(ts.Getenv("NATS_URL"), nats.Timeout(proctest.Patience))
	ts.Check(err)
	ts.Defer(nc.Close)
	a := &actor{id: args[0], dir: ts.MkAbs(args[1]), nc: nc, asked: map[messages.Operation]int{}}
	_, err = micro.AddService(nc, micro.Config{
		Name: messages.ServiceName, Version: "0.0.1",
		Metadata: map[string]string{messages.MetaHiveID: a.id, messages.MetaPrefix: messages.DefaultPrefix},
	})
	ts.Check(err)
	_, err = nc.Subscribe(messages.Subjects{}.Request(a.id, ""), a.play)
	ts.Check(err)
	ts.Check(nc.Flush())
}

// play answers one request.
func (a *actor) play(req *nats.Msg) {
	var subjects messages.Subjects
	op := subjects.Operation(req.Subject)
	var ids struct {
		JobID    string `json:"job_id"`
		WorkerID string `json:"worker_id"`
	}
	_ = json.Unmarshal(req.Data, &ids)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[op]++
	note, err := os.OpenFile(filepath.Join(a.dir, "asked.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		fmt.Fprintf(note, "%s %s\n", op, req.Data)
		note.Close()
	}
	story, _ := os.ReadFile(filepath.Join(a.dir, string(op)+".story"))
	lines := strings.Split(strings.TrimSpace(string(story)), "\n")
	for i, line := range lines {
		action, rest, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		level, human, _ := strings.Cut(rest, " ")
		e := messages.Event{
			Seq: i + 1, Action: messages.Action(action), Level: messages.Level(level), Human: human, HiveID: a.id, JobID: ids.JobID,
			WorkerID: ids.WorkerID, Attempt: 1, Terminal: i == len(lines)-1,
		}
		e.Stamp(time.Now())
		if data, err := e.Encode(); err == nil {
			_ = a.nc.Publish(subjects.Narration(e.HiveID, e.About(), e.Action), data)
		}
	}
	if text, err := os.ReadFile(filepath.Join(a.dir, string(op)+".delay")); err == nil {
		delay, _ := time.ParseDuration(strings.TrimSpace(string(text)))
		time.Sleep(delay)
	}
	_ = req.Respond([]byte(strings.ReplaceAll(a.line(op), "JOB", ids.JobID)))
}

// line returns the answer to the request that was just counted.
func (a *actor) line(op messages.Operation) string {
	for _, name := range []string{fmt.Sprintf("%s.%d.json", op, a.asked[op]), string(op) + ".json"} {
		if data, err := os.ReadFile(filepath.Join(a.dir, name)); err == nil {
			return string(data)
		}
	}
	failure := messages.Failure{HiveID: a.id, Err: messages.Errorf(messages.UnknownOperation, "operation %s is none that a hive knows", op)}
	data, err := failure.Encode()
	if err != nil {
		panic(err)
	}
	return string(data)
}

// runRegistry starts a queen that has heard the workers in a file, one on each line as a heartbeat has it: registry FILE.
func runRegistry(ts *testscript.TestScript, _ bool, args []string) {
	registry := queen.NewRegistry(queen.RegistryConfig{})
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		w := httptest.NewRecorder()
		registry.ServeHTTP(w, httptest.NewRequest(http.MethodPost, messages.HeartbeatPath, strings.NewReader(`{"worker":`+line+`}`)))
		if w.Code != http.StatusNoContent {
			ts.Fatalf("%s: %s", line, w.Body)
		}
	}
	server := httptest.NewServer(registry)
	ts.Defer(server.Close)
	ts.Setenv("RBEE_QUEEN_URL", server.URL)
}
