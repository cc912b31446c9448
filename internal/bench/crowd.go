//go:build linux

package main

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/consumer"
)

// crowd is many idle hives in one process, each with a connection of its own: the real consumer on a Spawner that has no workers.
type crowd struct {
	url   string
	first int
	ctx   func() context.Context
	stop  context.CancelFunc
	hives sync.WaitGroup
}

// newCrowd is a crowd for the server at args[0] whose first hive has the number args[1].
func newCrowd(args []string) (*crowd, error) {
	first, err := strconv.Atoi(args[1])
	ctx, stop := context.WithCancel(context.Background())
	return &crowd{url: args[0], first: first, ctx: func() context.Context { return ctx }, stop: stop}, err
}

// answer starts n hives, some at a time, and returns when all take queued jobs; or tells how much memory is in use.
func (c *crowd) answer(verb string, n, at int, _ string) (any, error) {
	switch verb {
	case "serve":
		var next atomic.Int64
		return measure(n, at, func() error { return c.begin("idle-" + strconv.Itoa(c.first+int(next.Add(1))-1)) })
	case "live":
		return live(), nil
	}
	return true, nil
}

// begin starts one hive and returns when it takes queued jobs.
func (c *crowd) begin(id string) error {
	nc, err := nats.Connect(c.url, nats.Name("rbee-hive "+id), nats.CustomInboxPrefix("_INBOX_hive-"+id), nats.MaxReconnects(-1), nats.Timeout(patience))
	if err != nil {
		return err
	}
	ready, failed := make(chan struct{}), make(chan error, 1)
	c.hives.Go(func() {
		defer nc.Close()
		failed <- consumer.Run(c.ctx(), nc, noWorkers{}, consumer.Config{HiveID: id, Queue: consumer.QueueRequired, Ready: func() { close(ready) }})
	})
	select {
	case <-ready:
		return nil
	case err := <-failed:
		return err
	case <-time.After(6 * patience):
		return errors.New("hive " + id + " was never ready")
	}
}

func (c *crowd) end() {
	c.stop()
	c.hives.Wait()
}

// noWorkers is a Spawner without workers.
type noWorkers struct{ consumer.Spawner }

// live returns how many bytes of this process's memory are in use: what a garbage collection leaves, and stacks.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // no process has as much
}
