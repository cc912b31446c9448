package consumer

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// Narrator tells what happens outside any job: that a worker ended, that a hive starts or stops. Make one with
// [NewNarrator]. All its methods may be called from any goroutine.
type Narrator struct {
	nc       *nats.Conn
	subjects messages.Subjects
	hiveID   string
	log      *slog.Logger
}

// NewNarrator returns a narrator that speaks for the hive hiveID over nc. A nil logger discards its log.
func NewNarrator(nc *nats.Conn, subjects messages.Subjects, hiveID string, logger *slog.Logger) *Narrator {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Narrator{nc: nc, subjects: subjects, hiveID: hiveID, log: logger}
}

// Narrate publishes e as an event outside any job: it stamps it, names the hive, and takes away what only a job's events
// carry (job id, sequence number, attempt, the terminal mark), so that the story of no job gets a second end. Nothing
// waits for narration: an event that cannot be published is logged and dropped.
func (n *Narrator) Narrate(e messages.Event) {
	e.HiveID, e.JobID = n.hiveID, ""
	e.Seq, e.Attempt, e.Terminal = 0, 0, false
	data, err := n.encode(nil, e)
	if err == nil {
		err = n.nc.Publish(n.subjects.Narration(n.hiveID, e.About(), e.Action), data)
	}
	if err != nil {
		n.dropped(e, err)
	}
}

// encode stamps e and appends it to dst as it travels, or returns an error if it cannot.
func (n *Narrator) encode(dst []byte, e messages.Event) ([]byte, error) {
	if err := messages.CheckID(string(e.Action)); err != nil {
		return dst, fmt.Errorf("action: %w", err)
	}
	e.Stamp(time.Now())
	data, err := e.AppendJSON(dst)
	if err != nil {
		return dst, err
	}
	if most := n.nc.MaxPayload(); most > 0 && int64(len(data)-len(dst)) > most {
		return dst, fmt.Errorf("%d bytes: %w", len(data)-len(dst), nats.ErrMaxPayload)
	}
	return data, nil
}

// dropped logs that e was not told.
func (n *Narrator) dropped(e messages.Event, err error) {
	n.log.Warn("narration event dropped", "job", e.JobID, "worker", e.WorkerID, "action", e.Action, "err", err)
}

// jobSubject is what the subject of every event of a job begins with; the event's action completes it.
func (n *Narrator) jobSubject(job string) string {
	return strings.TrimSuffix(n.subjects.Narration(n.hiveID, job, ""), "*")
}
