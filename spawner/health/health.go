// Package health asks the HTTP servers of this machine whether they serve.
//
// A question is one GET on a connection of its own, which is not kept: a server may have a thread for each. Whoever asks puts the
// questions first, does something else while the servers answer, and then collects:
//
//	asked := health.Ask(health.Question{Port: 9001, Path: "/health", Status: 200})
//	…
//	err := asked.Answers(ctx)[0] // nil: it serves
//
// All that counts is the head of the answer: the body is not read, redirects are not followed, no proxy is asked.
package health

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// Question is what one server is asked.
type Question struct {
	// Port is the server's TCP port on 127.0.0.1.
	Port int
	// Path is what is asked for, with the query if it has one.
	Path string
	// Status is the HTTP status of the answer of a server that serves.
	Status int
}

// address returns where the server listens.
func (q Question) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(q.Port)) }

// url returns what is asked for.
func (q Question) url() string { return "http://" + q.address() + q.Path }

// failed returns why there is no answer, as package net/http words it.
func (q Question) failed(err error) error { return &url.Error{Op: "Get", URL: q.url(), Err: err} }

// judge returns nil if the status, of which text is the wording, is the one that is waited for.
func (q Question) judge(status int, text string) error {
	if status != q.Status {
		return fmt.Errorf("%s answers %s", q.url(), text)
	}
	return nil
}
