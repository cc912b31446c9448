package spawner

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// Of more workers than are asked at once, too, those are ready that answer and have the socket, and no others.
func TestManyWorkersAreAsked(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	port := server.Listener.Addr().(*net.TCPAddr).Port
	workers := make([]known, 400)
	var all []*known
	for i := range workers {
		k := &workers[i]
		k.alive, k.Result.Port, k.worker.Port, k.worker.State = i%5 != 1, port, port, messages.StateStarting
		k.Process.PID = os.Getpid()
		if i%5 == 2 {
			k.Process.PID = os.Getppid() // somebody else answers
		}
		if i%5 == 3 {
			k.Terms = &terms{HealthStatus: http.StatusNoContent}
		}
		all = append(all, k)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var found process.Found
	for range 2 {
		asked := askHealth(&machine{listening: process.ReadListening(&found)}, all)
		require.Len(t, asked.workers, 320)
		require.Less(t, asked.Put(), 320)
		asked.hear(ctx)
		for i, k := range workers {
			want := messages.StateStarting
			if i%5 == 0 || i%5 == 4 {
				want = messages.StateReady
			}
			require.Equal(t, want, k.worker.State, i)
		}
	}
}
