//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// hive is a hive of this program's own, put together as rbee-hive does it, which can keep the steps of its spawns to itself. Two of
// them, of which one does, show what narration costs.
type hive struct {
	stop context.CancelFunc
	done chan error
}

// mute is a Spawner that tells nothing. What remains of a job's story is its last event, which the consumer tells.
type mute struct{ *spawner.Spawner }

func (m mute) Spawn(ctx context.Context, job messages.Job, _ func(messages.Event), waiting spawner.Waiting) (messages.Result, error) {
	return m.Spawner.Spawn(ctx, job, func(messages.Event) {}, waiting)
}

// newHive serves the hive args[0] below the directory args[1], with the catalog args[2] and the ports args[3]; if its id is
// [quietHive], without narration.
func newHive(nc *nats.Conn, args []string) (*hive, error) {
	id, dir := args[0], args[1]
	ports, err := spawner.ParsePortRange(args[3])
	if err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(min(max(runtime.NumCPU()/4, 2), 4)) // as rbee-hive does
	narrator := consumer.NewNarrator(nc, messages.Subjects{}, id, nil)
	workers, err := spawner.New(spawner.Config{
		HiveID: id, CatalogDir: args[2], RunDir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"), Ports: ports, Exited: narrator.Narrate,
	})
	if err != nil {
		return nil, err
	}
	var all consumer.Spawner = workers
	if id == quietHive {
		all = mute{workers}
	}
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	h := &hive{stop: stop, done: make(chan error, 1)}
	go func() {
		err := consumer.Run(ctx, nc, all, consumer.Config{
			HiveID: id, MaxJobs: atOnce, Queue: consumer.QueueRequired, Ready: func() { close(ready) },
		})
		h.done <- errors.Join(err, workers.Close())
	}()
	select {
	case <-ready:
		return h, nil
	case err := <-h.done:
		return nil, err
	}
}

func (h *hive) answer(string, int, int, string) (any, error) { return true, nil }

func (h *hive) end() {
	h.stop()
	if err := <-h.done; err != nil {
		fmt.Fprintln(os.Stderr, "bench hive:", err)
	}
}
