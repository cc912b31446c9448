package main

import (
	"log/slog"
	"math"

	"golang.org/x/sys/unix"
)

// hideEnvironment keeps the workers, which run as the same user, from reading the hive's NATS credentials in
// /proc/PID/environ (prctl(2), PR_SET_DUMPABLE). The price is that the hive leaves no core dump.
func hideEnvironment(logger *slog.Logger) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		logger.Warn("workers can read the environment of the hive", "err", err)
	}
}

// keepDescriptors keeps workers from inheriting what the hive was started with.
func keepDescriptors(logger *slog.Logger) {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		logger.Debug("workers inherit what the hive was started with", "err", err)
	}
}
