package queen_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// BenchmarkSpawn measures the client against a hive that starts nothing: with a listener, three events and one
// subscription per job come on top of the round trip.
func BenchmarkSpawn(b *testing.B) {
	for name, narrate := range map[string]func(messages.Event){"alone": nil, "with a listener": func(messages.Event) {}} {
		b.Run(name, func(b *testing.B) {
			srv := natstest.Server(b)
			h := playHive(b, srv.URL(), "gpu-1", obedient)
			client, _ := connect(b, srv.URL())
			for b.Loop() {
				if _, err := client.Spawn(b.Context(), "gpu-1", job(), narrate); err != nil {
					b.Fatal(err)
				}
				<-h.jobs
			}
		})
	}
}

// BenchmarkHeartbeat measures one heartbeat to a registry that holds 10,000 workers: how many it can keep is this, 30 s long.
func BenchmarkHeartbeat(b *testing.B) {
	const workers = 10_000
	r := queen.NewRegistry(queen.RegistryConfig{})
	for i := range workers {
		require.Equal(b, http.StatusNoContent, beat(b, r, heartbeat(fmt.Sprintf("worker-%d", i), messages.StatusReady)))
	}
	data, err := heartbeat("worker-1", messages.StatusReady).Encode()
	require.NoError(b, err)
	for b.Loop() {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodPost, messages.HeartbeatPath, bytes.NewReader(data)))
		if w.Code != http.StatusNoContent {
			b.Fatal(w.Code)
		}
	}
}
