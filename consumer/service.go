package consumer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/rbee-keeper/hive/messages"
)

// versionPattern is what a semantic version is (semver.org); micro takes no other.
var versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

// platform is the system and the architecture of this hive.
const platform = runtime.GOOS + "/" + runtime.GOARCH

// counts are the jobs that ended since the hive started.
type counts struct {
	succeeded, failed, refused atomic.Int64
}

// stats is what discovery shows of the hive's work, in the data of its endpoint. The library's own numbers beside it only
// count messages: it looks when a request was accepted, not when the job ended.
type stats struct {
	Running   int   `json:"running"`   // jobs in flight
	Waiting   int   `json:"waiting"`   // jobs in line
	Succeeded int64 `json:"succeeded"` // jobs that did what they were for
	Failed    int64 `json:"failed"`    // jobs that were tried
	Refused   int64 `json:"refused"`   // jobs that were not: invalid, late, too many, or while draining

	Queue   string `json:"queue,omitempty"`   // the stream that queued jobs come from; empty if none do
	Results string `json:"results,omitempty"` // the stream that remembers their outcomes; empty if none does
}

// subscribe makes the hive discoverable and takes its requests. The jobs run under ctx.
//
// One subject with a wildcard takes every operation: a caller of one that no hive knows is told so, instead of being told
// that there is no such hive. The queue group makes sure that of two processes of one hive only one runs a job.
func (h *hive) subscribe(ctx context.Context) (micro.Service, error) {
	svc, err := micro.AddService(h.nc, micro.Config{
		Name:         messages.ServiceName,
		Version:      semanticVersion(h.Version),
		Description:  "starts the workers of one machine",
		Metadata:     h.metadata(ctx),
		StatsHandler: func(*micro.Endpoint) any { return h.stats() },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			h.Logger.Error("subscription in trouble", "subject", err.Subject, "err", err.Description)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("add service %s: %w", messages.ServiceName, err)
	}
	handler := micro.HandlerFunc(func(req micro.Request) { h.accept(ctx, req) })
	err = svc.AddEndpoint("jobs", handler, micro.WithEndpointSubject(h.subject()), micro.WithEndpointQueueGroup(h.HiveID))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to %s: %w", h.subject(), err), svc.Stop())
	}
	return svc, nil
}

// metadata is what discovery tells of the hive.
func (h *hive) metadata(ctx context.Context) map[string]string {
	meta := map[string]string{
		messages.MetaHiveID: h.HiveID, messages.MetaPlatform: platform, messages.MetaVersion: h.Version,
		messages.MetaPrefix: h.Subjects.Prefix(), messages.MetaHost: host(),
		messages.MetaDevices: h.devices(ctx),
	}
	if h.RunDir != "" {
		meta[messages.MetaRunDir] = h.RunDir
	}
	return meta
}

// devices returns what discovery says of the machine's devices, or "" if that cannot be known.
func (h *hive) devices(ctx context.Context) string {
	var err error
	defer func() {
		if err != nil {
			h.Logger.Warn("discovery does not tell the devices", "err", err)
		}
	}()
	defer h.recovered(messages.Job{}, &err)
	return messages.DevicesText(h.Machine(ctx).Devices)
}

// host returns the name of this machine, or "" if it has none.
func host() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// subject is where the hive's requests arrive, whatever their operation.
func (h *hive) subject() string {
	return h.Subjects.Request(h.HiveID, "")
}

// denied returns an error if the server refused the hive's subscription. It must be called after a flush behind the
// subscription. The library reports a refusal in its last error and to the connection's error handler, never to a caller,
// and names the subject only in the text.
func (h *hive) denied() error {
	err := h.nc.LastError()
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), fmt.Sprintf("Subscription to %q", h.subject())) {
		return nil
	}
	return fmt.Errorf("the server lets this user take no jobs of hive %s: grant it to subscribe to %s: %w", h.HiveID, h.subject(), err)
}

func (h *hive) stats() stats {
	running, waiting := h.line.load()
	results := ""
	if h.queue.results.Load() {
		results = h.Subjects.Streams().Results
	}
	return stats{
		Queue: h.queue.name(), Results: results,
		Running: running, Waiting: waiting, Succeeded: h.counts.succeeded.Load(), Failed: h.counts.failed.Load(),
		Refused: h.counts.refused.Load(),
	}
}

// sayStarted tells everyone that the hive takes jobs.
func (h *hive) sayStarted() {
	h.started = true
	h.Logger.Info("hive takes jobs", "version", h.Version, "platform", platform, "subject", h.subject())
	h.narrator.Narrate(messages.Event{
		Action: messages.ActionHiveStarted,
		Human:  fmt.Sprintf("Hive '%s' takes jobs (%s, %s)", h.HiveID, h.Version, platform),
		Fields: messages.Fields{Version: h.Version, Platform: platform},
	})
}

// sayDraining tells everyone that the hive finishes its jobs in flight and takes no other.
func (h *hive) sayDraining(jobs int) {
	h.Logger.Info("hive drains", "jobs", jobs)
	h.narrator.Narrate(messages.Event{
		Action: messages.ActionHiveDraining,
		Human:  fmt.Sprintf("Hive '%s' takes no new jobs; finishing %d", h.HiveID, jobs),
		Fields: messages.Fields{Jobs: jobs},
	})
}

// sayStopped tells everyone that the hive has left.
func (h *hive) sayStopped() {
	h.Logger.Info("hive stopped")
	h.narrator.Narrate(messages.Event{
		Action: messages.ActionHiveStopped,
		Human:  fmt.Sprintf("Hive '%s' stopped; its workers go on", h.HiveID),
	})
}

// semanticVersion returns version as micro takes it: itself without a leading v, or 0.0.0-dev if it is no semantic version.
func semanticVersion(version string) string {
	version = strings.TrimPrefix(version, "v")
	if !versionPattern.MatchString(version) {
		return "0.0.0-dev"
	}
	return version
}
