package consumer

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/rbee-keeper/hive/messages"
)

// mostQuestions bounds the questions that are answered at once. Each may wait a second for the health of workers.
const mostQuestions = 64

// answerer answers one question with what travels, at most limit bytes of it.
type answerer func(ctx context.Context, data []byte, limit int) ([]byte, error)

// answerer returns who answers the operation, or false if it is no question: it has an effect, or is none that a hive knows.
func (h *hive) answerer(op messages.Operation) (answerer, bool) {
	switch op {
	case messages.WorkerList:
		return h.list, true
	case messages.WorkerGet:
		return h.get, true
	case messages.WorkerLogs:
		return h.logs, true
	case messages.CatalogList:
		return h.catalog, true
	case messages.HiveStatus:
		return h.status, true
	}
	return nil, false
}

// question answers a request that has no effect: it is not narrated, leaves no result, and waits for no job.
func (h *hive) question(ctx context.Context, req micro.Request, op messages.Operation, answer answerer) {
	select {
	case h.questions <- struct{}{}:
	default:
		busy := messages.Errorf(messages.HiveBusy, "hive %s is answering %d questions: ask again later", h.HiveID, mostQuestions)
		busy.Retryable = true
		h.tasks.do(func() { h.refuseQuestion(req, busy) })
		return
	}
	h.tasks.do(func() {
		defer func() { <-h.questions }()
		h.serveQuestion(ctx, req, op, answer)
	})
}

// serveQuestion answers a question, whatever happens on the way.
func (h *hive) serveQuestion(ctx context.Context, req micro.Request, op messages.Operation, answer answerer) {
	var err error
	defer func() {
		if err != nil {
			h.refuseQuestion(req, messages.AsError(err))
		}
	}()
	defer h.recovered(messages.Job{}, &err)
	header := nats.Header{messages.HeaderHiveID: {h.HiveID}}
	limit := h.maxPayload() - headerSize(header)
	var data []byte
	data, err = answer(ctx, req.Data(), limit)
	if err == nil && len(data) > limit {
		err = fmt.Errorf("the answer has %d bytes, more than the server takes in one message (%d)", len(data), limit)
	}
	if err != nil {
		err = interrupted(ctx, err)
		h.Logger.Debug("question refused", "operation", op, "err", err)
		return
	}
	h.reply(req, header, data)
}

func (h *hive) refuseQuestion(req micro.Request, e *messages.Error) {
	header := nats.Header{
		messages.HeaderHiveID:    {h.HiveID},
		messages.HeaderError:     {clip(messages.OneLine(e.Message), maxHeader)},
		messages.HeaderErrorCode: {strconv.Itoa(e.Code.Status())},
	}
	encode := func(e *messages.Error) ([]byte, error) { return messages.Failure{HiveID: h.HiveID, Err: e}.Encode() }
	data, err := encode(shorten(e, h.maxPayload()-headerSize(header), encode))
	if err != nil {
		h.Logger.Error("answer not encoded", "err", err)
		return
	}
	h.reply(req, header, data)
}

func (h *hive) reply(req micro.Request, header nats.Header, data []byte) {
	if req.Reply() == "" {
		return
	}
	if err := h.nc.PublishMsg(&nats.Msg{Subject: req.Reply(), Header: header, Data: data}); err != nil {
		h.Logger.Error("answer not published", "subject", req.Reply(), "err", err)
	}
}

// list answers with as many workers as fit.
func (h *hive) list(ctx context.Context, data []byte, limit int) ([]byte, error) {
	req, err := messages.DecodeList(data, messages.WorkerList)
	if err == nil {
		err = h.isOurs(req.HiveID)
	}
	if err != nil {
		return nil, err
	}
	page, err := h.spawner.List(ctx, req)
	if err != nil {
		return nil, err
	}
	for {
		answer, err := page.Encode()
		if err != nil || len(answer) <= limit || len(page.Workers) == 0 {
			return answer, err
		}
		if len(page.Workers) == 1 {
			return fitting(&page.Workers[0], limit, func() ([]byte, error) { return page.Encode() })
		}
		page.Workers = page.Workers[:len(page.Workers)/2]
		page.Next = page.Workers[len(page.Workers)-1].WorkerID
	}
}

// fitting returns what encode makes of an answer about worker. One that is longer than limit is cut at the worker's failure, as
// [shorten] cuts it.
func fitting(worker *messages.Worker, limit int, encode func() ([]byte, error)) ([]byte, error) {
	data, err := encode()
	if err != nil || len(data) <= limit || worker.Failure == nil {
		return data, err
	}
	worker.Failure = shorten(worker.Failure, limit, func(e *messages.Error) ([]byte, error) {
		worker.Failure = e
		return encode()
	})
	return encode()
}

func (h *hive) get(ctx context.Context, data []byte, limit int) ([]byte, error) {
	req, err := messages.DecodeGet(data, messages.WorkerGet)
	if err == nil {
		err = h.isOurs(req.HiveID)
	}
	if err != nil {
		return nil, err
	}
	answer, err := h.spawner.Get(ctx, req)
	if err != nil {
		return nil, err
	}
	return fitting(&answer.Worker, limit, func() ([]byte, error) { return answer.Encode() })
}

// logs answers with as much of the log as fits: of a tail with its last lines, of a range with its first.
func (h *hive) logs(ctx context.Context, data []byte, limit int) ([]byte, error) {
	req, err := messages.DecodeLogs(data, messages.WorkerLogs)
	if err == nil {
		err = h.isOurs(req.HiveID)
	}
	if err != nil {
		return nil, err
	}
	for {
		lines, err := h.spawner.Logs(ctx, req)
		if err != nil {
			return nil, err
		}
		answer, err := lines.Encode()
		if err != nil || len(answer) <= limit {
			return answer, err
		}
		var smaller bool
		if req, smaller = halved(req, lines); !smaller {
			return ending(lines, limit)
		}
	}
}

// halved asks for half of what the answer held, or returns false if that was a single line.
func halved(req messages.LogsRequest, answer messages.Logs) (messages.LogsRequest, bool) {
	if req.From == nil {
		req.Tail = len(answer.Lines) / 2
		return req, req.Tail > 0
	}
	req.Limit = (answer.Next - answer.From) / 2
	return req, req.Limit > 0
}

// ending answers with as much of the end of the last line as fits: a tail of one line that is longer than the server takes.
func ending(answer messages.Logs, limit int) ([]byte, error) {
	line := ""
	if n := len(answer.Lines); n > 0 {
		line = answer.Lines[n-1]
	}
	for {
		data, err := answer.Encode()
		if err != nil || len(data) <= limit || line == "" {
			return data, err
		}
		line = strings.ToValidUTF8(line[(len(line)+1)/2:], "")
		answer.Lines = []string{"…" + line}
	}
}

func (h *hive) status(ctx context.Context, data []byte, _ int) ([]byte, error) {
	req, err := messages.DecodeStatus(data, messages.HiveStatus)
	if err == nil {
		err = h.isOurs(req.HiveID)
	}
	if err != nil {
		return nil, err
	}
	running, waiting := h.line.load()
	machine := h.Machine(ctx)
	return messages.HiveInfo{
		HiveID: h.HiveID, Version: h.Version, Platform: platform, Devices: machine.Devices, DevicesProblem: machine.Problem, Workers: machine.Workers,
		JobsRunning: running, JobsWaiting: waiting, Queue: h.queue.name(), StartedAt: h.began.UTC(),
	}.Encode()
}
