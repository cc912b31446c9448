// Package natstest gives a test a NATS server of its own.
//
// It alone links the testing package, so that no shipped binary does. Each server listens on a free port and has an empty
// JetStream store; it and its connections end with the test.
package natstest

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/internal/natsd"
)

// Server starts a server with JetStream and stops it when the test ends. It fails the test at once when it cannot start.
func Server(tb testing.TB) *natsd.Server {
	tb.Helper()
	// TempDir first: what is registered last is cleaned up first, and the store must outlive the server.
	srv, err := natsd.Start(natsd.Config{StoreDir: tb.TempDir()})
	if err != nil {
		tb.Fatalf("natstest: %v", err)
	}
	tb.Cleanup(srv.Shutdown)
	return srv
}

// Start starts a server as cfg says and stops it when the test ends. A port that cfg names may be in use for a moment after the server that had
// it has ended: a program that the test starts has a copy of every descriptor until it is executed.
func Start(tb testing.TB, cfg natsd.Config) *natsd.Server {
	tb.Helper()
	srv, err := natsd.Start(cfg)
	for late := time.Now().Add(time.Minute); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(late); {
		<-time.After(time.Millisecond)
		srv, err = natsd.Start(cfg)
	}
	if err != nil {
		tb.Fatalf("natstest: %v", err)
	}
	tb.Cleanup(srv.Shutdown)
	return srv
}

// Connect starts a server and returns a connection to it. Both end with the test.
func Connect(tb testing.TB) *nats.Conn {
	tb.Helper()
	return Dial(tb, Server(tb).URL())
}

// JetStream returns what nc can do with streams. However busy the machine is, it waits for an answer.
func JetStream(tb testing.TB, nc *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		tb.Fatalf("natstest: %v", err)
	}
	return js
}

// Stream returns the stream once it can be asked: a server that has just started answers some questions to nobody.
func Stream(tb testing.TB, js jetstream.JetStream, name string) jetstream.Stream {
	tb.Helper()
	for late := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		ctx, cancel := context.WithTimeout(tb.Context(), time.Second)
		stream, err := js.Stream(ctx, name)
		cancel()
		if err == nil {
			return stream
		}
		if time.Now().After(late) {
			tb.Fatalf("natstest: stream %s: %v", name, err)
		}
	}
}

// Dial returns a connection to the server at url, named after the test and closed when it ends. It fails the test at once
// when there is none; opts come after its own and win.
func Dial(tb testing.TB, url string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{nats.Name(tb.Name()), nats.Timeout(time.Minute)}, opts...)...)
	if err != nil {
		tb.Fatalf("natstest: connect to %s: %v", url, err)
	}
	tb.Cleanup(nc.Close)
	return nc
}
