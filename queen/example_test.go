package queen_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func ExampleClient_Spawn() {
	nc, stop := fleetOfOne()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	client := queen.New(nc, queen.Config{})
	job := messages.Job{Model: "meta-llama/Llama-3-8b", Device: "cuda:0"}
	result, err := client.Spawn(ctx, "gpu-1", job, func(e messages.Event) { fmt.Println(e.Human) })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s serves on port %d of %s\n", result.WorkerID, result.Port, result.HiveID)

	_, err = client.Spawn(ctx, "gpu-9", job, nil)
	fmt.Println(err)
	// Output:
	// ✅ Worker 'worker-abc123' spawned (PID: 12345, port: 9001)
	// ✅ Worker spawned: worker-abc123 (PID: 12345)
	// worker-abc123 serves on port 9001 of gpu-1
	// no hive gpu-9 answers, and no other below rbee.v1: start `rbee-hive serve` on its machine, against this NATS server
}

func ExampleClient_Watch() {
	nc, stop := fleetOfOne()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	client := queen.New(nc, queen.Config{})
	narration, err := client.Watch(ctx, queen.Filter{Action: "worker_spawned"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer narration.Close()
	if _, err := client.Spawn(ctx, "gpu-1", messages.Job{Model: "meta-llama/Llama-3-8b", Device: "cuda:0"}, nil); err != nil {
		fmt.Println(err)
	}

	for event, err := range narration.Events(ctx) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(event.HiveID, event.WorkerID)
		cancel() // one is enough
	}
	// Output: gpu-1 worker-abc123
}

func ExampleRegistry() {
	registry := queen.NewRegistry(queen.RegistryConfig{})
	server := httptest.NewServer(registry) // or http.Server, with its timeouts
	defer server.Close()

	// What a worker does every 30 seconds.
	resp, err := http.Post(server.URL+messages.HeartbeatPath, "application/json", strings.NewReader(
		`{"worker":{"id":"worker-abc123","model_id":"meta-llama/Llama-3-8b","device":"cuda:0","port":9001,"status":"ready"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)

	for _, worker := range registry.Workers() {
		fmt.Println(worker.ID, worker.State)
	}
	// Output:
	// 204 No Content
	// worker-abc123 ready
}

func ExampleRegistry_Await() {
	registry := queen.NewRegistry(queen.RegistryConfig{})
	server := httptest.NewServer(registry)
	defer server.Close()
	go func() { // the worker
		resp, err := http.Post(server.URL+messages.HeartbeatPath, "application/json", strings.NewReader(
			`{"worker":{"id":"worker-abc123","port":9001,"status":"ready"}}`))
		if err == nil {
			_ = resp.Body.Close()
		}
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	worker, err := registry.Await(ctx, "worker-abc123", messages.StatusReady)
	fmt.Println(worker.ID, worker.State, err)
	// Output: worker-abc123 ready <nil>
}

// fleetOfOne starts a NATS server and a hive gpu-1 that says yes to every job, and connects to the server.
func fleetOfOne() (nc *nats.Conn, stop func()) {
	server, err := natsd.Start(natsd.Config{})
	if err != nil {
		panic(err)
	}
	nc, err = nats.Connect(server.URL())
	if err != nil {
		panic(err)
	}
	var subjects messages.Subjects
	_, err = nc.Subscribe(subjects.Request("gpu-1", messages.WorkerSpawn), func(req *nats.Msg) {
		job, err := messages.DecodeJob(req.Data, messages.WorkerSpawn)
		if err != nil {
			panic(err)
		}
		for i, e := range []messages.Event{
			{Action: messages.ActionSpawned, Human: "✅ Worker 'worker-abc123' spawned (PID: 12345, port: 9001)"},
			{Action: messages.ActionSpawnComplete, Human: "✅ Worker spawned: worker-abc123 (PID: 12345)", Terminal: true},
		} {
			e.HiveID, e.JobID, e.WorkerID, e.Seq, e.Attempt = "gpu-1", job.JobID, "worker-abc123", i+1, 1
			e.Stamp(time.Now())
			data, _ := e.Encode()
			_ = nc.Publish(subjects.Narration(e.HiveID, e.JobID, e.Action), data)
		}
		answer, _ := messages.Result{JobID: job.JobID, HiveID: "gpu-1", WorkerID: "worker-abc123", PID: 12345, Port: 9001}.Encode()
		_ = req.Respond(answer)
	})
	if err != nil {
		panic(err)
	}
	return nc, func() {
		nc.Close()
		server.Shutdown()
	}
}
