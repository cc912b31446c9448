package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// fakeQueen is a queen without a network, so that heartbeats can be tested in the time of a synctest bubble.
type fakeQueen struct {
	answer func(*http.Request) error // nil: 204

	start  time.Time
	beats  []string      // "<time since the start> <status>"
	ending time.Duration // from the stop to the end of the heart
}

func (q *fakeQueen) RoundTrip(r *http.Request) (*http.Response, error) {
	var beat heartbeat
	if err := json.NewDecoder(r.Body).Decode(&beat); err != nil {
		return nil, err
	}
	q.beats = append(q.beats, time.Since(q.start).String()+" "+beat.Worker.Status)
	if q.answer != nil {
		if err := q.answer(r); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: http.StatusNoContent, Status: "204 No Content", Body: http.NoBody}, nil
}

// beating runs the heart of a worker in a bubble while story happens, stops it, and returns what the queen heard
// and what was logged.
func beating(t *testing.T, queen *fakeQueen, story func(*status)) (beats []string, log string) {
	t.Helper()
	var logged bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		w := fixedWorker(t, func(c *config) { c.queen = mustURL(t, "http://user:hush@queen/base") })
		w.log = slog.New(slog.NewTextHandler(&logged, nil))
		h := newHeart(w)
		queen.start = time.Now()
		h.client.Transport = queen
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.run(ctx)
		}()
		synctest.Wait()
		story(w.status)
		synctest.Wait()
		stopped := time.Now()
		stop()
		w.status.stop()
		<-ended
		queen.ending = time.Since(stopped)
	})
	return queen.beats, logged.String()
}

func TestHeartbeatRhythm(t *testing.T) {
	t.Parallel()
	ready := func(s *status) {
		s.ready()
		synctest.Wait() // until that is told
	}
	use := func(s *status, times int, each time.Duration) {
		for range times {
			s.begin()
			time.Sleep(each)
			s.end()
			time.Sleep(each)
		}
	}
	cases := map[string]struct {
		story func(*status)
		want  []string
	}{
		"every interval": {
			func(*status) { time.Sleep(61 * time.Second) },
			[]string{"0s starting", "30s starting", "1m0s starting", "1m1s stopped"},
		},
		"ready is told at once": {
			func(s *status) { time.Sleep(10 * time.Millisecond); s.ready() },
			[]string{"0s starting", "10ms ready", "10ms stopped"},
		},
		"busy and ready again": {
			func(s *status) { ready(s); time.Sleep(5 * time.Second); use(s, 1, 2*time.Second) },
			[]string{"0s starting", "0s ready", "5s busy", "7s ready", "9s stopped"},
		},
		"short work is not told": {
			func(s *status) { ready(s); use(s, 40, 10*time.Millisecond); time.Sleep(5 * time.Second) },
			[]string{"0s starting", "0s ready", "5.8s stopped"},
		},
		"flaps are told once a second at most": {
			func(s *status) { ready(s); use(s, 4, 350*time.Millisecond) },
			[]string{"0s starting", "0s ready", "1s busy", "2s ready", "2.8s stopped"},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			beats, log := beating(t, &fakeQueen{}, test.story)
			require.Empty(t, log)
			require.Equal(t, test.want, beats)
		})
	}
}

func TestOutageIsLoggedOnceAndItsEndOnce(t *testing.T) {
	t.Parallel()
	queen := &fakeQueen{}
	queen.answer = func(*http.Request) error {
		if int(time.Since(queen.start).Minutes())%10 < 5 { // five minutes away, five minutes back
			return errors.New("connection refused")
		}
		return nil
	}
	_, log := beating(t, queen, func(*status) { time.Sleep(19 * time.Minute) })
	require.Equal(t, 2, strings.Count(log, "queen not reachable"), log)
	require.Equal(t, 2, strings.Count(log, "queen reachable again"), log)
	require.Contains(t, log, `queen=queen err="connection refused"`)
	require.NotContains(t, log, "hush")
}

// A queen that never answers costs the worker nothing: beats go on, one at a time, and the end is not held up.
func TestSilentQueen(t *testing.T) {
	t.Parallel()
	inFlight, most := 0, 0
	queen := &fakeQueen{answer: func(r *http.Request) error {
		inFlight++
		most = max(most, inFlight)
		<-r.Context().Done()
		inFlight--
		return r.Context().Err()
	}}
	beats, log := beating(t, queen, func(s *status) {
		s.ready()
		time.Sleep(62 * time.Second)
	})
	require.Equal(t, []string{"0s starting", "5s ready", "30s ready", "1m0s ready", "1m2s stopped"}, beats)
	require.Equal(t, 1, most)
	require.Equal(t, 1, strings.Count(log, "queen not reachable"), log)
	require.Equal(t, farewellTime, queen.ending)
}

func TestRefusedHeartbeatIsAnOutage(t *testing.T) {
	t.Parallel()
	cases := map[string]http.HandlerFunc{
		"error":    func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) },
		"redirect": func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/elsewhere", http.StatusFound) },
	}
	for name, handler := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queen := httptest.NewServer(handler)
			t.Cleanup(queen.Close)
			h := newHeart(fixedWorker(t, func(c *config) { c.queen = mustURL(t, queen.URL) }))
			t.Cleanup(h.client.CloseIdleConnections)
			require.ErrorContains(t, h.post(t.Context(), statusReady, heartbeatTimeout), "queen answered")
		})
	}
}

func TestHeartbeatRequestGolden(t *testing.T) {
	t.Parallel()
	var path, contentType, body string
	queen := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		path, contentType, body = r.Method+" "+r.URL.Path, r.Header.Get("Content-Type"), string(data)
	}))
	t.Cleanup(queen.Close)
	h := newHeart(fixedWorker(t, func(c *config) { c.queen = mustURL(t, queen.URL+"/base/") }))
	t.Cleanup(h.client.CloseIdleConnections)
	require.NoError(t, h.post(t.Context(), statusReady, heartbeatTimeout))
	require.Equal(t, "POST /base/v1/worker-heartbeat", path)
	require.Equal(t, "application/json", contentType)
	requireGolden(t, "heartbeat.json", body)
	_, err := messages.DecodeHeartbeat([]byte(body))
	require.NoError(t, err, "queens read it so")
}
