package doctor

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

// The user that the deployed configuration has for a hive may do all that a hive needs, and nobody hears that it was tried.
func TestDeployedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(Config, *natsd.Server) Config{
		"as the hive": Config.asHive,
		"as a user who may do anything": func(c Config, server *natsd.Server) Config {
			c.NATS.Server, c.NATS.User, c.NATS.Password = server.URL(), "spy", "spy"
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveConfig(t, deployedWith(t, "", ""))
			spy := natstest.Dial(t, server.URL(), nats.UserInfo("spy", "spy"))
			heard, err := spy.SubscribeSync("rbee.>")
			require.NoError(t, err)
			require.NoError(t, spy.Flush())

			report := Examine(t.Context(), config(newConfig(t), server))
			requireSound(t, report)
			require.Zero(t, report.Failures, "%v", report.Checks)
			for _, name := range []string{"jobs", "ping", "info", "stats", "results", "narration", "inbox", "queue", "queue_consumer", "known_results", "answers"} {
				require.Equal(t, OK, report.one(t, "permissions", name).Status)
			}
			require.Equal(t, `may subscribe to "rbee.v1.hive.gpu-1.* gpu-1"`, report.one(t, "permissions", "jobs").Message)
			require.Equal(t, "accepted", report.one(t, "server", "credentials").Message)

			require.NoError(t, spy.Flush())
			pending, _, err := heard.Pending()
			require.NoError(t, err)
			require.Zero(t, pending, "nobody hears anything")
		})
	}
	server := serveConfig(t, deployedWith(t, "", ""))
	check := Examine(t.Context(), newConfig(t).asHive(server)).one(t, "server", "same_id")
	require.Equal(t, OK, check.Status)
	require.Contains(t, check.Message, "not known: this user may not ask")
}

func TestEachMissingGrantIsNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ old, replacement, check, missing string }{
		"jobs in another queue group": {
			`"rbee.v1.hive.gpu-1.* gpu-1"`, `"rbee.v1.hive.gpu-1.* other"`, "jobs",
			`this user may not subscribe to "rbee.v1.hive.gpu-1.* gpu-1": the hive takes no jobs`,
		},
		"one operation only": {
			`"rbee.v1.hive.gpu-1.* gpu-1"`, `"rbee.v1.hive.gpu-1.worker_spawn gpu-1"`, "jobs",
			`this user may not subscribe to "rbee.v1.hive.gpu-1.* gpu-1": the hive takes no jobs`,
		},
		"ping of all services": {`"$SRV.PING", `, ``, "ping", `this user may not subscribe to "$SRV.PING": the hive is not found`},
		"ping of one process":  {`,  "$SRV.PING.rbee-hive.*"`, ``, "ping", `may not subscribe to "$SRV.PING.rbee-hive.*": the hive is not found`},
		"info": {
			`"$SRV.INFO",  "$SRV.INFO.rbee-hive",  "$SRV.INFO.rbee-hive.*"`, ``, "info",
			`may not subscribe to "$SRV.INFO", "$SRV.INFO.rbee-hive", "$SRV.INFO.rbee-hive.*": the hive is not found`,
		},
		"stats":   {`"$SRV.STATS.rbee-hive", `, ``, "stats", `may not subscribe to "$SRV.STATS.rbee-hive":`},
		"results": {`"rbee.v1.result.gpu-1.*"`, ``, "results", `may not publish on "rbee.v1.result.gpu-1.*": the hive tells nobody how its jobs end`},
		"narration": {
			`"rbee.v1.narration.gpu-1.>"`, ``, "narration", `may not publish on "rbee.v1.narration.gpu-1.>": the hive does not tell what it does`,
		},
		"narration of some actions": {
			`"rbee.v1.narration.gpu-1.>"`, `"rbee.v1.narration.gpu-1.@hive.*"`, "narration", `may not publish on "rbee.v1.narration.gpu-1.>"`,
		},
		"inbox": {`"_INBOX_hive-gpu-1.>"`, ``, "inbox", `may not subscribe to "_INBOX_hive-gpu-1.>": the hive hears no answer`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t).asHive(serveConfig(t, deployedWith(t, test.old, test.replacement)))
			if test.check == "inbox" { // then an answer is waited for as long as may be
				cfg.Timeout = DefaultTimeout
			}
			report := Examine(t.Context(), cfg)
			requireSound(t, report)
			check := report.one(t, "permissions", test.check)
			require.Contains(t, check.Message, test.missing)
			require.Contains(t, check.Advice, "grant it")
			if test.check == "inbox" { // a hive works without
				require.Equal(t, Warning, check.Status)
				require.Zero(t, report.Failures, "%v", report.Checks)
				return
			}
			require.Equal(t, Failure, check.Status, "%v", check)
			require.Equal(t, 1, report.Failures, "and nothing else: %v", report.Checks)
		})
	}
}

// A hive under another prefix needs the same below that.
func TestPermissionsUnderAnotherPrefix(t *testing.T) {
	t.Parallel()
	server := serveConfig(t, strings.ReplaceAll(deployedWith(t, "", ""), "rbee.v1.", "my.fleet."))
	cfg := newConfig(t).asHive(server)
	require.Equal(t, 3, Examine(t.Context(), cfg).Failures, "jobs, results and narration")
	cfg.Subjects = subjects(t, "my.fleet")
	require.Zero(t, Examine(t.Context(), cfg).Failures)
}

// Jobs that arrive meanwhile go to the hive, every one.
func TestNoJobIsTakenFromTheHive(t *testing.T) {
	t.Parallel()
	server := serveConfig(t, deployedWith(t, "", ""))
	hive := natstest.Dial(t, server.URL(), nats.UserInfo("hive-gpu-1", "pw-HIVE_GPU_1"))
	var got atomic.Int64
	_, err := hive.QueueSubscribe("rbee.v1.hive.gpu-1.*", "gpu-1", func(*nats.Msg) { got.Add(1) })
	require.NoError(t, err)
	require.NoError(t, hive.Flush())

	cfg := newConfig(t).asHive(server)
	ended := make(chan Report)
	go func() { ended <- Examine(t.Context(), cfg) }()
	queen := natstest.Dial(t, server.URL(), nats.UserInfo("queen", "pw-QUEEN"))
	sent := int64(0)
	for report := (Report{}); report.HiveID == ""; {
		for range 200 { // at a time, so that there is no moment without one
			require.NoError(t, queen.Publish("rbee.v1.hive.gpu-1.worker_spawn", []byte("{}")))
			sent++
		}
		require.NoError(t, queen.Flush())
		select {
		case report = <-ended:
			require.Zero(t, report.Failures, "%v", report.Checks)
		default:
		}
	}
	require.Positive(t, sent)
	require.NoError(t, hive.Drain())
	require.Eventually(t, hive.IsClosed, time.Minute, time.Millisecond)
	require.Equal(t, sent, got.Load())
}
