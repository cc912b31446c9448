//go:build !linux

package health

import (
	"context"
	"net/http"
	"sync"
)

// atOnce is how many servers are asked at once.
const atOnce = 16

var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil, MaxResponseHeaderBytes: mostHead},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Asked is a number of questions that were put.
type Asked struct{ questions []Question }

// Ask puts the questions; on this system they wait until somebody collects the answers.
func Ask(questions ...Question) *Asked { return &Asked{questions} }

// Put returns how many of the questions were put so far: none.
func (a *Asked) Put() int { return 0 }

// Answers waits for the answers and returns one for each question, in their order: nil of a server that serves, and otherwise what
// it says instead or why it says nothing. Once ctx has ended, nobody is waited for any more.
func (a *Asked) Answers(ctx context.Context) []error {
	answers := make([]error, len(a.questions))
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, q := range a.questions {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			answers[i] = ask(ctx, q)
		})
	}
	group.Wait()
	return answers
}

// Drop gives up the questions. It does nothing behind Answers.
func (a *Asked) Drop() {}

func ask(ctx context.Context, q Question) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.url(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return q.judge(resp.StatusCode, resp.Status)
}
