package doctor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExamineWithoutAServer(t *testing.T) {
	t.Parallel()
	report := Examine(t.Context(), newConfig(t))
	requireSound(t, report)
	require.Equal(t, "gpu-1", report.HiveID)
	require.Equal(t, 1, report.Failures, "%v", report.Checks)

	connection := report.one(t, "server", "connection")
	require.Equal(t, Failure, connection.Status)
	require.Contains(t, connection.Message, "no NATS server answers at nats://127.0.0.1:1")
	require.Contains(t, connection.Advice, "--server (NATS_URL)")
	grants := report.one(t, "permissions", "grants")
	require.Equal(t, Warning, grants.Status)
	require.Contains(t, grants.Message, "not tried: there is no connection")
	require.Empty(t, report.all("permissions", "jobs"))

	for _, area := range []string{"catalog", "directories", "limits", "devices", "ports", "system"} {
		require.Condition(t, func() bool {
			for _, check := range report.Checks {
				if check.Area == area {
					return true
				}
			}
			return false
		}, "%s is examined all the same", area)
	}
}

func TestACheckThatBreaksIsAFailure(t *testing.T) {
	t.Parallel()
	e := examiner{Config: Config{Timeout: time.Minute}}
	found := e.run(t.Context(), "area",
		probe{name: "broken", run: func(context.Context) []Check { panic(errors.New("no such thing")) }},
		probe{name: "sound", run: func(context.Context) []Check { return ok("here") }},
	)
	require.Equal(t, []Check{
		{Area: "area", Name: "broken", Status: Failure, Message: "the check itself broke: no such thing", Advice: "report this as a fault of rbee-hive"},
		{Area: "area", Name: "sound", Status: OK, Message: "here"},
	}, found)
}

func TestACheckThatDoesNotEndIsLeftBehind(t *testing.T) {
	t.Parallel()
	release, ended := make(chan struct{}), make(chan struct{})
	cfg := Config{Timeout: 10 * time.Millisecond}
	stuck := examiner{Config: cfg, grace: 10 * time.Millisecond}.run(t.Context(), "area",
		probe{name: "stuck", run: func(context.Context) []Check { defer close(ended); <-release; return nil }})
	heeds := examiner{Config: cfg, grace: time.Minute}.run(t.Context(), "area",
		probe{name: "heeds_its_time", run: func(ctx context.Context) []Check { <-ctx.Done(); return warn("wait", "cut short") }})
	found := append(stuck, heeds...)
	close(release)
	<-ended
	require.Len(t, found, 2)
	require.Equal(t, Failure, found[0].Status)
	require.Equal(t, "not known after 10ms", found[0].Message)
	require.Equal(t, "cut short", found[1].Message)
}

func TestExamineEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	cfg := newConfig(t)
	cfg.Timeout = time.Hour
	requireSound(t, Examine(ctx, cfg))
	require.Less(t, time.Since(begin), time.Minute)
}

func TestAdviceOfAnErrorIsTakenOffItsMessage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"x has mode 0777: others can write to it; run chmod 0700 on it":      {"x has mode 0777: others can write to it", "run chmod 0700 on it"},
		"the certificate is not trusted (x509: unknown): name the file":      {"the certificate is not trusted (x509: unknown)", "name the file"},
		"no server answers at nats://h:1: start one, or: use another":        {"no server answers at nats://h:1: start one, or", "use another"},
		"connect to NATS at nats://127.0.0.1:1: read tcp: i/o timeout":       {"connect to NATS at nats://127.0.0.1:1: read tcp: i/o timeout", "otherwise"},
		"X is not a directory; remove it or name another with --run-dir":     {"X is not a directory", "remove it or name another with --run-dir"},
		"first line: checking is not an imperative, and so nothing is taken": {"first line: checking is not an imperative, and so nothing is taken", "otherwise"},
	} {
		message, advice := split(errors.New(text), "otherwise")
		require.Equal(t, want, [2]string{message, advice}, text)
	}
}
