package spawner

import (
	"context"

	"github.com/rbee-keeper/hive/messages"
)

// HoldEnds has every end of a worker wait before it is written down, until release is called.
func (s *Spawner) HoldEnds() (release func()) {
	for range cap(s.ends) {
		s.ends <- struct{}{}
	}
	return func() {
		for range cap(s.ends) {
			<-s.ends
		}
	}
}

// Lost has the worker of the job taken for one that ended before its job was answered, as who read its record a moment ago takes it, and
// returns what the job is answered with.
func (s *Spawner) Lost(worker string) *messages.Error {
	rec, err := s.readRecord(worker)
	if err != nil {
		return messages.AsError(err)
	}
	rec.answered = false
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it looks no second time before it writes
	return s.lost(ctx, rec)
}
