package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd how the hive is. Elsewhere it does nothing.
type notifier struct {
	log   *slog.Logger
	done  chan struct{}
	group sync.WaitGroup
}

// newNotifier returns a notifier that tells systemd that the hive stops once ctx ends.
func newNotifier(ctx context.Context, log *slog.Logger) *notifier {
	n := &notifier{log: log, done: make(chan struct{})}
	n.group.Go(func() {
		select {
		case <-ctx.Done():
			n.tell(daemon.SdNotifyStopping)
		case <-n.done:
		}
	})
	return n
}

// ready tells systemd that the hive takes jobs, and from then on, if the unit asks for it, that it lives.
func (n *notifier) ready() {
	n.tell(daemon.SdNotifyReady)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("systemd watchdog is not served", "err", err)
	}
	if interval > 0 {
		n.group.Go(func() { n.live(interval / 2) })
	}
}

// live tells systemd again and again that the process lives, also while it drains.
func (n *notifier) live(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-ticker.C:
			n.tell(daemon.SdNotifyWatchdog)
		}
	}
}

// stop ends what the notifier does. It must be called once.
func (n *notifier) stop() {
	close(n.done)
	n.group.Wait()
}

func (n *notifier) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("systemd was not told", "state", state, "err", err)
	}
}
