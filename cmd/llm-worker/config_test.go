package main

import (
	"bytes"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// contract is the argument list of a hive, in its order.
var contract = []string{
	"--worker-id", "worker-1", "--model", "org/model", "--device", "cuda:0",
	"--port", "9001", "--queen-url", "http://queen.example:8500",
}

func environment(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := pairs[name]
		return value, ok
	}
}

func TestParseContract(t *testing.T) {
	t.Parallel()
	cfg, err := parse(contract, environment(map[string]string{"RBEE_HIVE_ID": "gpu-1"}))
	require.NoError(t, err)
	require.Equal(t, config{
		workerID: "worker-1", model: "org/model", device: "cuda:0", port: 9001,
		queen: mustURL(t, "http://queen.example:8500"), hiveID: "gpu-1",
		host: "127.0.0.1", heartbeat: 30 * time.Second,
	}, cfg)
}

func TestParseOptional(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"LLM_WORKER_HOST": "::1", "LLM_WORKER_LOAD_TIME": "2s", "LLM_WORKER_TOKEN_TIME": "5ms",
		"LLM_WORKER_HEARTBEAT": "10s",
	}
	cases := map[string]struct {
		args []string
		env  map[string]string
		want func(*config)
	}{
		"environment": {env: env, want: func(c *config) {
			c.host, c.loadTime, c.tokenTime, c.heartbeat = "::1", 2*time.Second, 5*time.Millisecond, 10*time.Second
		}},
		"flag over environment": {
			args: []string{"--host", "127.0.0.2", "--load-time", "1s", "--token-time=0s", "--heartbeat=1s"}, env: env,
			want: func(c *config) { c.host, c.loadTime, c.heartbeat = "127.0.0.2", time.Second, time.Second },
		},
		"empty variable":  {env: map[string]string{"LLM_WORKER_LOAD_TIME": ""}, want: func(*config) {}},
		"empty queen":     {args: []string{"--queen-url", ""}, want: func(c *config) { c.queen = nil }},
		"free port":       {args: []string{"--port=0"}, want: func(c *config) { c.port = 0 }},
		"model with dash": {args: []string{"--model", "-odd"}, want: func(c *config) { c.model = "-odd" }},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := parse(contract, environment(nil))
			require.NoError(t, err)
			test.want(&want)
			got, err := parse(append(slices.Clone(contract), test.args...), environment(test.env))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		env  map[string]string
		says string
	}{
		"missing":        {args: []string{"--device", "cpu"}, says: "missing --worker-id, --model, --port: add it"},
		"unknown flag":   {args: append(contract, "--gpu", "1"), says: "-gpu"},
		"bare argument":  {args: append(contract, "serve"), says: `unexpected argument "serve"`},
		"no value":       {args: []string{"--port"}, says: "-port"},
		"id":             {args: append(contract, "--worker-id", "a.b"), says: "want 1 to 64 of A-Z a-z 0-9 _ -"},
		"id too long":    {args: append(contract, "--worker-id", strings.Repeat("a", 65)), says: "want 1 to 64"},
		"empty model":    {args: append(contract, "--model", " "), says: "not empty"},
		"port text":      {args: append(contract, "--port", "http"), says: "want a number from 0 to 65535"},
		"port large":     {args: append(contract, "--port", "65536"), says: "want a number from 0 to 65535"},
		"port negative":  {args: append(contract, "--port", "-1"), says: "want a number from 0 to 65535"},
		"queen scheme":   {args: append(contract, "--queen-url", "nats://queen"), says: "want a URL such as http://"},
		"queen host":     {args: append(contract, "--queen-url", "queen:8500"), says: "want a URL such as http://"},
		"load time":      {args: append(contract, "--load-time", "-1s"), says: "want a duration"},
		"heartbeat zero": {args: append(contract, "--heartbeat", "0s"), says: "want a duration"},
		"heartbeat slow": {args: append(contract, "--heartbeat", "90s"), says: "want a duration"},
		"environment": {
			args: contract, env: map[string]string{"LLM_WORKER_LOAD_TIME": "soon"},
			says: `environment variable LLM_WORKER_LOAD_TIME="soon": want a duration`,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(test.args, environment(test.env))
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestParseHelpAndVersion(t *testing.T) {
	t.Parallel()
	_, err := parse([]string{"--help"}, environment(nil))
	require.ErrorIs(t, err, flag.ErrHelp)
	_, err = parse([]string{"--version"}, environment(nil))
	require.ErrorIs(t, err, errVersion)
}

// A flag that the help does not name is a flag that nobody finds.
func TestUsageNamesEveryFlag(t *testing.T) {
	t.Parallel()
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	new(config).define(flags)
	defineBackend(flags)
	flags.VisitAll(func(f *flag.Flag) { require.Contains(t, usage, "--"+f.Name+" ") })
}

func TestRunExitCodes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"help":    {args: []string{"-h"}, code: exitOK, stdout: "--worker-id ID"},
		"version": {args: []string{"--version"}, code: exitOK, stdout: "llm-worker " + workerVersion()},
		"usage":   {args: []string{"--port", "9001"}, code: exitUsage, stderr: "Run 'llm-worker --help'"},
		"secret": {
			args: append(contract, "--queen-url", "http://user:hush@"), code: exitUsage, stderr: "want a URL such as",
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			require.Equal(t, test.code, run(t.Context(), test.args, nil, &stdout, &stderr))
			require.Contains(t, stdout.String(), test.stdout)
			require.Contains(t, stderr.String(), test.stderr)
			require.NotContains(t, stderr.String(), "hush")
			require.Equal(t, test.stdout == "", stdout.Len() == 0)
			require.Equal(t, test.stderr == "", stderr.Len() == 0)
		})
	}
}
