package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/internal/fault"
)

// holdBack is how long an event may wait for those behind it. A spawn is over in less: all that it has to say then leaves
// in one write to the server instead of one for each step, each of which would wake up both sides.
const holdBack = 5 * time.Millisecond

// idleRounds is how many rounds without a story the courier makes before it rests. While it makes rounds, a job costs no
// timer of its own.
const idleRounds = 20

// courier makes rounds through the stories that hold events back and publishes them.
type courier struct {
	mu      sync.Mutex
	stories map[*story]struct{}
	resting bool
	wake    chan struct{}
}

func newCourier() *courier {
	return &courier{stories: make(map[*story]struct{}), resting: true, wake: make(chan struct{}, 1)}
}

// call has the courier come by at s within holdBack.
func (c *courier) call(s *story) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stories[s] = struct{}{}
	if c.resting {
		c.resting = false
		c.wake <- struct{}{}
	}
}

// dismiss ends what call began.
func (c *courier) dismiss(s *story) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stories, s)
}

// run makes the rounds until ctx ends.
func (c *courier) run(ctx context.Context) {
	ticker := time.NewTicker(holdBack)
	defer ticker.Stop()
	for {
		ticker.Stop()
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		ticker.Reset(holdBack)
		for idle := 0; idle < idleRounds || !c.rest(); idle++ {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			if c.round() {
				idle = 0
			}
		}
	}
}

// round publishes what is held and reports whether there was a story.
func (c *courier) round() bool {
	c.mu.Lock()
	stories := make([]*story, 0, len(c.stories))
	for s := range c.stories {
		stories = append(stories, s)
		delete(c.stories, s)
	}
	c.mu.Unlock()
	for _, s := range stories {
		s.release()
		fault.Point("consumer-narrated")
	}
	return len(stories) > 0
}

// rest lets the courier sleep until it is called, and reports false if a story came in between.
func (c *courier) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resting = len(c.stories) == 0
	return c.resting
}
