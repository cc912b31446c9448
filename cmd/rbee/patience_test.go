package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		waiting, p, stop := newPatience(t.Context(), time.Minute)
		defer stop()
		time.Sleep(30 * time.Second)
		p.putOff(10 * time.Second) // which is sooner than it would end
		require.Equal(t, time.Minute, p.limit)
		p.putOff(10 * time.Minute)
		<-waiting.Done()
		require.Equal(t, 10*time.Minute+30*time.Second, time.Since(began))
		require.Equal(t, time.Since(began), p.limit)
		require.ErrorIs(t, context.Cause(waiting), context.DeadlineExceeded)
		p.putOff(time.Hour) // too late
		require.Equal(t, time.Since(began), p.limit)

		waiting, _, stop = newPatience(t.Context(), time.Minute)
		stop()
		require.ErrorIs(t, context.Cause(waiting), context.Canceled)
	})
}
