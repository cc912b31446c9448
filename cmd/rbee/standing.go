package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/queen"
)

// standingTime bounds the look at the queue of a job that is in it already: the job goes on meanwhile.
const standingTime = 3 * time.Second

// standing says on stderr what keeps a job that was just queued from being taken, as far as the server tells that to this user, and returns
// in words how far it is from its turn.
func (f *fleet) standing(cmd *cobra.Command, r queen.Receipt) string {
	var (
		queue queen.HiveQueue
		err   error
		ahead int
		known bool
	)
	ctx, cancel := context.WithTimeout(cmd.Context(), standingTime)
	defer cancel()
	// A user who may not look is told nothing, and does not wait: the server says at once that it does not permit a subject.
	log := slog.New(slog.NewTextHandler(onWrite(cancel), &slog.HandlerOptions{Level: slog.LevelError}))
	f.aside(ctx, natsconn.Options{Name: cmd.CommandPath(), Logger: log}, func(client *queen.Client) {
		if queue, err = client.HiveQueue(ctx, r.HiveID); err == nil {
			ahead, known = client.Ahead(ctx, r, queue)
		}
	})
	warn := func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Yellow(text)) }
	if _, none := errors.AsType[*queen.NoQueueError](err); none {
		warn(neverTook(r.HiveID))
	}
	if queue.PausedUntil.After(time.Now()) {
		warn(fmt.Sprintf("hive %[1]s is paused; `rbee hives resume %[1]s` lets it go on", r.HiveID))
	}
	switch {
	case !known:
		return "yes"
	case ahead == 0:
		return "next of its hive"
	case ahead == 1:
		return "behind 1 job of its hive"
	}
	return fmt.Sprintf("behind %d jobs of its hive", ahead)
}

// onWrite is a writer that does something whatever is written.
type onWrite func()

func (do onWrite) Write(p []byte) (int, error) {
	do()
	return len(p), nil
}

// neverTook says that a hive's id may be wrong.
func neverTook(hive string) string {
	return "hive " + hive + " has never taken jobs from the queue: check that this is its id, for it may be none's"
}
