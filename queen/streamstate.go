package queen

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamState is what one stream of the fleet holds.
type StreamState struct {
	// Stream is its name.
	Stream string `json:"stream"`
	// Missing says that the server does not have it; then the rest is zero.
	Missing bool `json:"missing,omitempty"`
	// Messages and Bytes are what it holds.
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	// Oldest is when its first message came; zero if it holds none.
	Oldest time.Time `json:"oldest,omitzero"`
	// Consumers is how many readers the server remembers.
	Consumers int `json:"consumers"`
	// Replicas is how many servers keep it.
	Replicas int `json:"replicas"`
}

// StreamStates returns what each stream of the fleet holds. The error is that of [Client.Plan].
func (c *Client) StreamStates(ctx context.Context) ([]StreamState, error) {
	names := c.subjects.Streams()
	var states []StreamState
	for _, name := range []string{names.Jobs, names.Results, names.Narration, names.Dead} {
		stream, err := c.stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			states = append(states, StreamState{Stream: name, Missing: true})
			continue
		case err != nil:
			return nil, err
		}
		info := stream.CachedInfo()
		state := StreamState{
			Stream: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, Consumers: info.State.Consumers, Replicas: info.Config.Replicas,
		}
		if state.Messages > 0 {
			state.Oldest = info.State.FirstTime
		}
		states = append(states, state)
	}
	return states, nil
}
