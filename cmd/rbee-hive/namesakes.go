package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/rbee-keeper/hive/internal/doctor"
	"github.com/rbee-keeper/hive/messages"
)

// warnOfNamesakes asks once whether another hive answers to this one's id, and says so in the log.
func warnOfNamesakes(ctx context.Context, s settings, subjects messages.Subjects, log *slog.Logger) {
	hosts, err := doctor.Namesakes(ctx, doctor.Config{HiveID: s.hiveID, Subjects: subjects, NATS: s.nats, RunDir: s.runDir})
	switch {
	case err != nil:
		log.Debug("whether another hive has this id is not known", "hive", s.hiveID, "err", err)
	case len(hosts) > 0:
		log.Error("another hive answers to this id, and two with one id share its jobs: give one of them another --hive-id (RBEE_HIVE_ID)",
			"hive", s.hiveID, "hosts", strings.Join(hosts, ", "))
	default:
		log.Debug("nobody else has this id", "hive", s.hiveID)
	}
}
