package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/messages"
)

const (
	demoModel  = "tiny-stories-1b"
	demoPrompt = "What makes a good worker?"
)

// demoPace makes the worker slow enough to watch: a model takes a while to load, and tokens come one by one.
var demoPace = map[string]string{"LLM_WORKER_LOAD_TIME": "800ms", "LLM_WORKER_TOKEN_TIME": "30ms"}

// sceneTime bounds each thing that a scene waits for.
const sceneTime = time.Minute

// startFleet installs the worker and starts NATS, the queen and the hive.
func (d *demo) startFleet(ctx context.Context) error {
	d.begin("A fleet of one machine starts: NATS, a queen and a hive, each on a free port.")
	if err := devstack.Install(d.dir, d.llmWorker, workerVersion); err != nil {
		return err
	}
	pass := []string{}
	for name, value := range demoPace {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
		pass = append(pass, name)
	}
	stack, err := devstack.Start(ctx, devstack.Config{Dir: d.dir, HiveID: "local", Version: d.version, Ports: demoPorts(), PassEnv: pass, Logger: d.log})
	if err != nil {
		return err
	}
	d.stack = stack
	if d.client, d.done, err = stackClient(ctx, stack); err != nil {
		return err
	}
	hives, err := d.client.Hives(ctx)
	if err != nil {
		return err
	}
	for _, hive := range hives {
		d.say("hive   %s (%s), found over %s", hive.ID, hive.Platform, stack.NATSURL())
	}
	d.say("queen  %s", stack.QueenURL())
	d.say("worker %s %s, installed into an empty catalog", devstack.WorkerName, workerVersion)
	return nil
}

// demoPorts returns a range that no other hive of this machine is likely to use: hives that share a range do not see each
// other's locks, and their workers can meet on a port.
func demoPorts() devstack.PortRange {
	first := 20_000 + rand.IntN(12_000)
	return devstack.Ports(first, first+9)
}

// sendJob has the hive start a worker and shows what it tells.
func (d *demo) sendJob(ctx context.Context) error {
	d.begin("A job goes to the hive: model '%s' on device 'cpu'. The hive tells what it does.", demoModel)
	d.job = messages.Job{JobID: messages.NewJobID(), WorkerID: "worker-demo", Model: demoModel, Device: "cpu"}
	return d.spawn(ctx)
}

// spawn sends the job and keeps hold of the worker. An interruption waits for the answer: nobody else would end the worker.
func (d *demo) spawn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sceneTime)
	defer cancel()
	result, err := d.client.Spawn(ctx, d.stack.HiveID(), d.job, d.narrator().tell)
	if err != nil {
		return err
	}
	d.result = result
	d.worker, err = os.FindProcess(result.PID)
	d.remember()
	return err
}

// showResult shows the answer that the caller got.
func (d *demo) showResult(context.Context) error {
	d.begin("The hive answers; a worker is a process of its own now.")
	r := d.result
	return cli.Table(d,
		[]string{"worker_id", r.WorkerID},
		[]string{"pid", fmt.Sprint(r.PID)},
		[]string{"port", fmt.Sprint(r.Port)},
		[]string{"worker", r.Worker + " " + r.Version + " (" + r.WorkerType + ", from the " + r.Source + ")"},
		[]string{"log_path", r.LogPath},
	)
}

// showHeartbeats shows what the worker tells the queen.
func (d *demo) showHeartbeats(ctx context.Context) error {
	d.begin("The worker reports to the queen, not to the hive, while it loads its model.")
	ctx, cancel := context.WithTimeout(ctx, sceneTime)
	defer cancel()
	for _, status := range []messages.Status{messages.StatusStarting, messages.StatusReady} {
		worker, err := d.stack.Registry().Await(ctx, d.result.WorkerID, status)
		if err != nil {
			return err
		}
		text := d.paint.Dim(string(worker.State))
		if status == messages.StatusReady {
			text = d.paint.Green(string(worker.State))
		}
		after := worker.LastHeartbeat.Sub(d.result.StartedAt).Round(time.Millisecond)
		d.say("heartbeat: %s is %s, %s after its start", worker.ID, text, after)
	}
	return nil
}

// complete asks the worker for text and shows it as it comes.
func (d *demo) complete(ctx context.Context) error {
	d.begin("It serves its OpenAI-compatible API, and the answer streams. (No model: this worker makes its text up.)")
	d.say("%s", d.paint.Dim("> "+demoPrompt))
	ctx, cancel := context.WithTimeout(ctx, sceneTime)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"model": demoModel, "stream": true,
		"messages": []map[string]string{{"role": "user", "content": demoPrompt}},
	})
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", d.result.Port)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the worker at %s: HTTP status %s", url, resp.Status)
	}
	return d.speak(bufio.NewScanner(resp.Body))
}

// speak prints the pieces of a streamed completion (server-sent events) as they come.
func (d *demo) speak(lines *bufio.Scanner) error {
	text := &speech{stage: d.stage}
	defer text.end()
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return fmt.Errorf("read the worker's answer: %w", err)
		}
		for _, choice := range chunk.Choices {
			text.add(choice.Delta.Content)
		}
	}
	return lines.Err()
}

// refuse sends a job that no hive can do.
func (d *demo) refuse(ctx context.Context) error {
	d.begin("A job for a device that there is not is refused, with a code for programs and a line for people.")
	ctx, cancel := context.WithTimeout(ctx, sceneTime)
	defer cancel()
	job := messages.Job{Model: demoModel, Device: "quantum:0"}
	_, err := d.client.Spawn(ctx, d.stack.HiveID(), job, nil)
	refusal, ok := errors.AsType[*messages.Error](err)
	if !ok {
		return fmt.Errorf("device %s was not refused: %w", job.Device, err)
	}
	d.say("%s %s", d.paint.Red(string(refusal.Code)), oneLine(refusal.Message))
	return nil
}

// restartHive shows that workers outlive the hive and that no job runs twice.
func (d *demo) restartHive(ctx context.Context) error {
	d.begin("The hive stops and a new one starts; the worker never noticed. The same job again starts nothing.")
	if err := d.stack.StopHive(); err != nil {
		return err
	}
	status, err := d.health(ctx)
	// Interrupted or not, a hive must be there to tell when the worker has gone.
	if err := errors.Join(err, d.stack.StartHive(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	d.say("without a hive: GET /health answers %s", status)
	before := d.result.PID
	if err := d.spawn(ctx); err != nil {
		return err
	}
	if d.result.PID != before || !d.result.Replayed {
		return fmt.Errorf("the same job started pid %d beside pid %d", d.result.PID, before)
	}
	return nil
}

// health asks the worker how it is.
func (d *demo) health(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sceneTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/health", d.result.Port), nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Status, nil
}
