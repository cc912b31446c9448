package queen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// How often a follower asks for what is new: soon after something was, and then less and less often.
const (
	pollSoon = 10 * time.Millisecond
	pollLate = 250 * time.Millisecond
	// awayWait is how long a follower waits for a hive that has gone: one that is restarted is back before.
	awayWait = 15 * time.Second
)

// Logs asks hive for a part of a worker's log. Without Tail and From it is the last [messages.DefaultTail] lines. The errors
// are those of [Client.Worker].
func (c *Client) Logs(ctx context.Context, hive string, request messages.LogsRequest) (messages.Logs, error) {
	request.Operation = messages.WorkerLogs
	return ask(ctx, c, hive, messages.WorkerLogs, request.HiveID, request, messages.DecodeLogsAnswer,
		func(l messages.Logs) string { return l.HiveID })
}

// Follow reads a worker's log from a place on, an offset in bytes, and calls read with each part that has lines in it or that
// misses some, from the calling goroutine. It asks for the next part only when read has returned, so a worker that writes
// faster than read reads is never in anybody's way: [messages.Logs.Missed] then says how much was lost. While nothing is
// new it asks at most four times a second.
//
// It returns nil once the worker has exited and all of its log was read, and the error of read if that returns one. A hive
// that goes away meanwhile is waited for, 15 seconds at most, and so is one that answers too many others. Other errors are those of [Client.Logs], and the end of ctx.
// If another worker has taken the id, there is nothing to follow any more, and that is an error, too.
func (c *Client) Follow(ctx context.Context, hive, worker string, from int64, read func(messages.Logs) error) error {
	f := follower{client: c, hive: hive, request: messages.LogsRequest{WorkerID: worker, From: &from}}
	wait := pollSoon
	for {
		part, err := f.next(ctx)
		if err != nil {
			return err
		}
		news := len(part.Lines) > 0 || part.Missed > 0
		if news {
			wait = pollSoon
			if err := read(part); err != nil {
				return err
			}
		}
		switch {
		case part.Ended():
			return nil
		case news && part.Next < part.Size: // more is there already
			continue
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, pollLate)
	}
}

// follower asks for one part of a log behind the other.
type follower struct {
	client  *Client
	hive    string
	request messages.LogsRequest
	path    string // of the log that is followed; empty until the first answer
}

// next returns the part behind the last one, and waits for a hive that was there and has gone, or is busy.
func (f *follower) next(ctx context.Context) (messages.Logs, error) {
	var gone time.Time
	for {
		part, err := f.client.Logs(ctx, f.hive, f.request)
		switch {
		case err == nil:
			return part, f.advance(part)
		case ctx.Err() != nil || !errors.Is(err, messages.HiveBusy) && (f.path == "" || !away(err)):
			return part, err
		case gone.IsZero():
			gone = time.Now()
		case time.Since(gone) > awayWait:
			return part, err
		}
		if err := pause(ctx, pollLate); err != nil {
			return part, err
		}
	}
}

// advance takes a part for read. A log that is another, or that goes back, cannot be followed.
func (f *follower) advance(part messages.Logs) error {
	if f.path == "" {
		f.path = part.LogPath
	}
	if part.LogPath != f.path {
		return fmt.Errorf("follow the log of worker %s: another worker has taken the id; its log is %s", f.request.WorkerID, part.LogPath)
	}
	if part.Next < *f.request.From {
		return fmt.Errorf("follow the log of worker %s: it ends at %d, before the place %d: ask from there", f.request.WorkerID, part.Size, *f.request.From)
	}
	f.request.From = &part.Next
	return nil
}

// away reports whether err says that the hive may only be gone for a while.
func away(err error) bool {
	_, absent := errors.AsType[*NoHiveError](err)
	_, silent := errors.AsType[*NoAnswerError](err)
	return absent || silent || errors.Is(err, messages.HiveDraining)
}

// pause waits for d, or until ctx ends, which is an error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
