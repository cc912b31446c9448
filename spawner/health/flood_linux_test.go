package health_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/health"
)

// Nothing is read behind the end of the time, however much there is to read of however many.
func TestNothingIsReadWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	said := make(chan struct{}, 1)
	port := serve(t, func(conn net.Conn) {
		says("HTTP/1.1 200 OK\r\n\r\n")(conn)
		said <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	asked := health.Ask(health.Question{Port: port, Path: "/health", Status: http.StatusOK})
	<-said
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, asked.Answers(ctx)[0], context.Canceled)
}

// Those who say more than can be read do not hold the question beyond its time.
func TestManyThatFlood(t *testing.T) {
	t.Parallel()
	var questions []health.Question
	for range 100 {
		port := serve(t, func(conn net.Conn) {
			for _, b := range []byte(strings.Repeat("HTTP/1.1 100 C\r\n\r\n", 10_000)) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
			}
		})
		questions = append(questions, health.Question{Port: port, Path: "/health", Status: http.StatusOK})
	}
	const limit = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	for _, err := range health.Ask(questions...).Answers(ctx) {
		require.Error(t, err)
	}
	require.Less(t, time.Since(began), limit+5*time.Second) // on a machine that stands still
}
