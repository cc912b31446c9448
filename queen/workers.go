package queen

import (
	"context"
	"fmt"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// answerWait bounds the wait for the answer to a question when the caller's context has no deadline: a hive that dies in
// the middle of one never answers.
const answerWait = 10 * time.Second

// Workers asks hive for its workers, page by page, and returns all of them, sorted by id. The request may be empty; one with
// an After begins behind that worker.
//
// The errors are those of [Client.Worker]. Pages are asked for one after the other, so a worker that comes or goes meanwhile
// may be seen or not.
func (c *Client) Workers(ctx context.Context, hive string, request messages.ListRequest) ([]messages.Worker, error) {
	request.Operation = messages.WorkerList
	var workers []messages.Worker
	for {
		page, err := ask(ctx, c, hive, messages.WorkerList, request.HiveID, request, messages.DecodeWorkers,
			func(p messages.WorkerPage) string { return p.HiveID })
		if err != nil {
			return nil, err
		}
		workers = append(workers, page.Workers...)
		switch {
		case page.Next == "":
			return workers, nil
		case page.Next <= request.After:
			return nil, fmt.Errorf("list the workers of hive %s: the page behind %q says that %q comes next", hive, request.After, page.Next)
		}
		request.After = page.Next
	}
}

// Worker asks hive for one worker, which may have exited.
//
// The error is a [*messages.Error] if the hive refused the question, like [messages.WorkerNotFound], or the question is not
// valid; [*NoHiveError] if there is no such hive; and [*NoAnswerError] if no answer came. Without a deadline in ctx it waits
// for ten seconds.
func (c *Client) Worker(ctx context.Context, hive, id string) (messages.Worker, error) {
	request := messages.GetRequest{Operation: messages.WorkerGet, WorkerID: id}
	answer, err := ask(ctx, c, hive, messages.WorkerGet, "", request, messages.DecodeWorker,
		func(a messages.WorkerAnswer) string { return a.HiveID })
	return answer.Worker, err
}

// Status asks hive how it is. The errors are those of [Client.Worker].
func (c *Client) Status(ctx context.Context, hive string) (messages.HiveInfo, error) {
	request := messages.StatusRequest{Operation: messages.HiveStatus}
	return ask(ctx, c, hive, messages.HiveStatus, "", request, messages.DecodeHive,
		func(i messages.HiveInfo) string { return i.HiveID })
}

// ask sends a question to a hive and returns the answer; meant is the hive that the question names, if it names one.
func ask[A any](ctx context.Context, c *Client, hive string, op messages.Operation, meant string,
	request interface{ Encode() ([]byte, error) }, decode func([]byte) (A, error), from func(A) string,
) (A, error) {
	var none A
	if err := checkHive(hive, meant); err != nil {
		return none, err
	}
	payload, err := request.Encode()
	if err != nil {
		return none, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerWait)
		defer cancel()
	}
	e := errand{hive: hive, op: op}
	msg, err := c.run(ctx, e, payload, nil)
	if err != nil {
		return none, err
	}
	answer, err := decode(msg.Data)
	answer, err = accept(e, answer, "", from(answer), err)
	if err != nil {
		return none, err
	}
	return answer, nil
}
