//go:build linux

package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// taker takes the jobs of a queue and does with each what a hive says to the server, and nothing else: no decision, and a process
// only if it is given a binary. It is the floor of the queue.
type taker struct {
	conn     *nats.Conn
	subjects messages.Subjects
	events   int  // told of each job
	asks     bool // the stream of results, before each job
	*contract
	binary string // started for each job, with all that the design asks of a start; empty if none is
}

// takerHive is the hive whose jobs a taker takes.
const takerHive = "bench"

// answerTimeout bounds what a taker waits for an answer of the server.
const answerTimeout = 5 * time.Second

// newTaker takes the jobs of the fleet args[0], as many at once as args[1] says, and tells args[2] events of each; if it tells any,
// it asks first for the result. It starts the binary args[4], if there is one, below the directory args[3]. The streams must be there.
func newTaker(nc *nats.Conn, args []string) (*taker, error) {
	subjects, err := messages.NewSubjects(args[0])
	if err != nil {
		return nil, err
	}
	atOnce, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, err
	}
	t := &taker{conn: nc, subjects: subjects}
	if t.events, err = strconv.Atoi(args[2]); err != nil {
		return nil, err
	}
	t.asks = t.events > 0
	if len(args) > 3 {
		if t.contract, err = newContract(nc, args[3]); err != nil {
			return nil, err
		}
		t.binary = args[4]
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	streams := subjects.Streams()
	_, err = js.CreateConsumer(context.Background(), streams.Jobs, jetstream.ConsumerConfig{
		Durable: streams.Consumer(takerHive), FilterSubject: streams.HiveJobs(takerHive), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 30 * time.Second, MaxDeliver: 5, MaxAckPending: 4096,
	})
	if err != nil {
		return nil, err
	}
	for range atOnce {
		go t.take()
	}
	return t, nil
}

func (t *taker) answer(verb string, n, at int, word string) (any, error) {
	if t.contract == nil {
		return true, nil
	}
	return t.contract.answer(verb, n, at, word)
}

func (t *taker) end() {
	t.conn.Close()
	if t.contract != nil {
		t.contract.end()
	}
}

// take takes one job after the other until the connection is closed.
func (t *taker) take() {
	inbox := t.conn.NewInbox()
	sub, err := t.conn.SubscribeSync(inbox)
	if err != nil {
		return
	}
	next := "$JS.API.CONSUMER.MSG.NEXT." + t.subjects.Streams().Jobs + "." + takerHive
	for {
		if err := t.conn.PublishRequest(next, inbox, []byte(`{"batch":1,"expires":30000000000}`)); err != nil {
			return
		}
		msg, err := sub.NextMsg(time.Minute)
		if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
			return
		}
		if err == nil && msg.Reply != "" {
			t.serve(msg)
		}
	}
}

// serve asks for the result of the job, tells its events, stores its result if there is none, and takes it out of the queue. Each
// answer of the server is awaited.
func (t *taker) serve(msg *nats.Msg) {
	words := strings.Split(msg.Subject, ".")
	job := words[len(words)-1]
	subject := t.subjects.Result(takerHive, job)
	if t.asks {
		_, _ = t.conn.Request("$JS.API.DIRECT.GET."+t.subjects.Streams().Results+"."+subject, nil, answerTimeout)
	}
	if t.binary != "" {
		if err := t.spawn(t.binary); err != nil {
			return // nobody gets a result, which says so
		}
	}
	event := make([]byte, eventBytes)
	for range t.events {
		_ = t.conn.Publish(t.subjects.Narration(takerHive, job, messages.ActionSpawned), event)
	}
	data, err := messages.Result{JobID: job, HiveID: takerHive, WorkerID: "none", LogPath: padding}.Encode()
	if err != nil {
		return
	}
	_, _ = t.conn.RequestMsg(&nats.Msg{Subject: subject, Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {"0"}}, Data: data}, answerTimeout)
	_, _ = t.conn.Request(msg.Reply, []byte("+ACK"), answerTimeout)
}

// padding makes the result of a taker about as long as that of a hive.
var padding = strings.Repeat("x", answerBytes*5/8)
