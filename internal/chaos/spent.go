//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// forgotten is why a server that comes back gives up a job which it has taken out of the queue before it was killed.
const forgotten = "Unacknowledged message was deleted"

// givenUp reports whether all that is left in the queue are so many jobs that the server gave out as often as it may.
func (st *stage) givenUp(ctx context.Context, all []job, left uint64) bool {
	dead := uint64(0)
	for _, j := range all {
		if !j.spent {
			continue
		}
		if known, err := st.queen.Job(ctx, hiveID, j.id); err == nil && known.State == queen.JobDead {
			dead++
		}
	}
	return dead > 0 && dead == left
}

// checkDead requires that the dead stream tells of each job that was spent, once, and of no other. Two things are the server's: it tells that a
// job was given out for the last time although its hive, which stood still or was not heard, gives it up a moment later; and one that was
// killed behind the end of a job may find, when it comes back, that what it had given out is not there.
func (st *stage) checkDead(ctx context.Context, all []job) (wrong []string) {
	names := messages.Subjects{}.Streams()
	told := map[uint64][]string{}
	stream, err := st.js.Stream(ctx, names.Dead)
	for _, subject := range []string{names.Exhausted(hiveID), names.Terminated(hiveID)} {
		for seq := uint64(1); err == nil; seq++ {
			var msg *jetstream.RawStreamMsg
			if msg, err = stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject)); err != nil {
				break
			}
			var says struct {
				Sequence uint64 `json:"stream_seq"`
				Reason   string `json:"reason"`
			}
			if err = json.Unmarshal(msg.Data, &says); err == nil && says.Reason != forgotten {
				told[says.Sequence] = append(told[says.Sequence], subject)
			}
			seq = msg.Sequence
		}
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = nil
		}
	}
	if err != nil {
		return []string{fmt.Sprintf("the dead: %v", err)}
	}
	for _, j := range all {
		subjects := told[st.places[j.id]]
		n := len(subjects)
		if st.silent && n == 2 && subjects[0] != subjects[1] {
			n = 1
		}
		if j.spent && n != 1 || !j.spent && n != 0 {
			wrong = append(wrong, fmt.Sprintf("%s: the dead stream tells of it %d times, on %q", j.id, len(subjects), subjects))
		}
	}
	return wrong
}
