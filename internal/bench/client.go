//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// client asks the echo and the hive.
type client struct {
	nc      *nats.Conn
	mu      sync.Mutex
	workers []worker // those that the hive started for it and that were not ended since
}

type worker struct {
	ID  string
	PID int
}

// patience is how long the client waits for an answer.
const patience = 10 * time.Second

// answer does what the verb says n times, at many at once. What the last word means depends on the verb.
func (c *client) answer(verb string, n, at int, word string) (any, error) {
	switch verb {
	case "echo":
		payload := make([]byte, 100)
		return measure(n, at, func() error {
			_, err := c.nc.Request("bench.echo", payload, patience)
			return err
		})
	case "start", "contract":
		return measure(n, at, func() error {
			reply, err := c.nc.Request("bench."+verb, []byte(word), patience)
			if err == nil && reply.Header.Get(refused) != "" {
				err = errors.New(reply.Header.Get(refused))
			}
			return err
		})
	case "spawn":
		job, err := messages.Job{Operation: messages.WorkerSpawn, Model: "tiny", Device: "cpu", Version: word}.Encode()
		if err != nil {
			return nil, err
		}
		return measure(n, at, func() error { return c.spawn(job) })
	case "list":
		return c.list(n, word)
	case "get":
		return c.get(n)
	case "delete":
		return c.delete(n)
	case "check":
		return c.check(n)
	case "await":
		return true, c.await(n)
	case "workers":
		return c.workers, nil
	case "kill":
		c.end()
	}
	return true, nil
}

func (c *client) spawn(job []byte) error {
	reply, err := c.ask(messages.WorkerSpawn, job)
	if err != nil {
		return err
	}
	result, err := messages.DecodeResult(reply.Data)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.workers = append(c.workers, worker{result.WorkerID, result.PID})
	c.mu.Unlock()
	return nil
}

// list asks n times for the list of the workers. Before and behind that it makes sure that as many are in it as there must be.
func (c *client) list(n int, want string) (s sample, err error) {
	request, err := messages.ListRequest{}.Encode()
	if err != nil {
		return s, err
	}
	check := func() error {
		page, err := c.page(request)
		if err != nil {
			return err
		}
		if got := strconv.Itoa(len(page.Workers)); got != want || page.Next != "" {
			return fmt.Errorf("the hive lists %s workers where %s live", got, want)
		}
		return nil
	}
	if err := check(); err != nil {
		return s, err
	}
	s, err = measure(n, 1, func() error {
		_, err := c.ask(messages.WorkerList, request)
		return err
	})
	return s, errors.Join(err, check())
}

func (c *client) page(request []byte) (messages.WorkerPage, error) {
	reply, err := c.ask(messages.WorkerList, request)
	if err != nil {
		return messages.WorkerPage{}, err
	}
	return messages.DecodeWorkers(reply.Data)
}

// await waits until n workers are ready.
func (c *client) await(n int) error {
	request, err := messages.ListRequest{}.Encode()
	if err != nil {
		return err
	}
	for limit := time.Now().Add(3 * patience); ; time.Sleep(10 * time.Millisecond) {
		page, err := c.page(request)
		if err != nil {
			return err
		}
		ready := 0
		for _, w := range page.Workers {
			if w.State == messages.StateReady {
				ready++
			}
		}
		if ready == n {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%d workers of %d are ready", ready, n)
		}
	}
}

// check asks all workers for their health n times, as many at once as the hive does, and as any program in Go would.
func (c *client) check(n int) (s sample, err error) {
	request, err := messages.ListRequest{}.Encode()
	if err != nil {
		return s, err
	}
	page, err := c.page(request)
	if err != nil {
		return s, err
	}
	const atOnce = 16
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return measure(n, 1, func() error {
		var asked atomic.Int64
		_, err := measure(len(page.Workers), atOnce, func() error {
			resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/health", page.Workers[asked.Add(1)-1].Port))
			if err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
			return errors.Join(err, resp.Body.Close())
		})
		return err
	})
}

// get asks n times for one of the workers, for another each time.
func (c *client) get(n int) (s sample, err error) {
	requests := make([][]byte, n)
	for i := range requests {
		if requests[i], err = (messages.GetRequest{WorkerID: c.workers[i%len(c.workers)].ID}).Encode(); err != nil {
			return s, err
		}
	}
	return measure(n, 1, func() error {
		request := requests[0]
		requests = requests[1:]
		_, err := c.ask(messages.WorkerGet, request)
		return err
	})
}

// delete has the hive end the n workers that it started last, and makes sure that they have ended by SIGTERM.
func (c *client) delete(n int) (s sample, err error) {
	jobs, replies := make([][]byte, n), make([]*nats.Msg, 0, n)
	for i := range jobs {
		last := c.workers[len(c.workers)-1]
		c.workers = c.workers[:len(c.workers)-1]
		if jobs[i], err = (messages.DeleteJob{WorkerID: last.ID, PID: last.PID}).Encode(); err != nil {
			return s, err
		}
	}
	s, err = measure(n, 1, func() error {
		reply, err := c.ask(messages.WorkerDelete, jobs[len(replies)])
		replies = append(replies, reply)
		return err
	})
	if err != nil {
		return s, err
	}
	for _, reply := range replies {
		deleted, err := messages.DecodeDeleted(reply.Data)
		if err != nil {
			return s, err
		}
		if deleted.Signal != "SIGTERM" || syscall.Kill(deleted.PID, 0) == nil {
			return s, fmt.Errorf("worker %s (PID %d) took %s and must have ended by SIGTERM", deleted.WorkerID, deleted.PID, deleted.Signal)
		}
	}
	return s, nil
}

// ask sends a request to the hive. An answer that is a failure is an error.
func (c *client) ask(op messages.Operation, data []byte) (*nats.Msg, error) {
	reply, err := c.nc.Request("rbee.v1.hive.bench."+string(op), data, patience)
	if err == nil && reply.Header.Get(messages.HeaderErrorCode) != "" {
		err = fmt.Errorf("%s: %s", op, reply.Data)
	}
	return reply, err
}

// end ends the workers and waits until the hive has reaped them. After a SIGKILL it would look through the log of the kernel, for
// each of them, while the next step is measured.
func (c *client) end() {
	for _, w := range c.workers {
		_ = syscall.Kill(w.PID, syscall.SIGTERM)
	}
	limit := time.Now().Add(patience)
	for _, w := range c.workers {
		for syscall.Kill(w.PID, 0) == nil && time.Now().Before(limit) {
			time.Sleep(time.Millisecond)
		}
	}
	c.workers = nil
}
