package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// How long a hive that starts listens for its namesakes.
const (
	namesakesLongest = 2 * time.Second
	namesakesQuiet   = 500 * time.Millisecond
)

// Namesakes returns the hosts of the other hives that answer to the hive's id: those with another run directory, be it on this
// machine, and not the other processes of this one. It asks once, over a connection of its own, because a server as it is deployed
// lets no hive ask: then, and when nobody can be asked, the error says so. Of cfg it needs HiveID, Subjects, NATS and RunDir.
func Namesakes(ctx context.Context, cfg Config) ([]string, error) {
	e := examiner{Config: cfg}
	nc, err := natsconn.Connect(ctx, cfg.NATS, natsconn.Options{
		Name: "rbee-hive same id " + e.HiveID, InboxPrefix: "_INBOX_hive-" + e.HiveID,
	})
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, namesakesLongest)
	defer cancel()
	heard, denied, err := e.answering(ctx, nc, listening{namesakesLongest, namesakesQuiet})
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask who answers to %s: %w", e.HiveID, err)
	case denied:
		return nil, fmt.Errorf("ask who answers to %s: this user may not, as it should be; `rbee hives` tells the queen", e.HiveID)
	}
	return slices.Compact(strangers(heard, process.Mark(cfg.RunDir))), nil
}

// strangers returns the hosts of those who have another run directory, in order. Who does not tell its own has another if its host is another.
func strangers(heard []map[string]string, own string) []string {
	here, _ := os.Hostname()
	var hosts []string
	for _, meta := range heard {
		host, dir := meta[messages.MetaHost], meta[messages.MetaRunDir]
		if dir == own && own != "" || (dir == "" || own == "") && host == here && host != "" {
			continue
		}
		hosts = append(hosts, cmp.Or(host, "a host that it does not name"))
	}
	slices.Sort(hosts)
	return hosts
}
