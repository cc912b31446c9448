package main

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseBackend(t *testing.T) {
	t.Parallel()
	args := append(slices.Clone(contract),
		"--backend", "--backend-health", "/v1/health", "--backend-status", "204", "--backend-grace", "1s", "--backend-env", "A=${device_index}",
		"--", "sh", "--port", "${backend_port}", "--model", "m/${model}", "$${HOME}")
	cfg, err := parse(args, environment(nil))
	require.NoError(t, err)
	require.Equal(t, "/v1/health", cfg.backend.health)
	require.Equal(t, 204, cfg.backend.status)
	require.Equal(t, "sh", cfg.backend.name())
	command, err := cfg.backend.command(cfg, 4711, []string{"A=1", "B=2", "LLAMA_ARG_HOST=0.0.0.0"})
	require.NoError(t, err)
	require.Equal(t, []string{"sh", "--port", "4711", "--model", "m/org/model", "${HOME}"}, command.Args)
	require.Equal(t, []string{"B=2", "A=0"}, command.Env)
	require.Equal(t, time.Second, command.Grace)
	require.True(t, filepath.IsAbs(command.Path), command.Path)

	plain, err := parse(contract, environment(nil))
	require.NoError(t, err)
	require.Nil(t, plain.backend)
}

func TestParseBackendRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		says string
	}{
		"no server":      {[]string{"--backend"}, "put the server's command behind it"},
		"no backend":     {[]string{"--", "sh"}, `unexpected argument "sh": every value belongs to a flag, and a server needs --backend`},
		"stray flag":     {[]string{"--backend-status", "200"}, "--backend-status: it needs --backend"},
		"unknown name":   {[]string{"--backend", "--", "sh", "--port", "${port}"}, "${port} is not known: use ${backend_port}, ${device}, ${device_index}, ${model}, ${worker_id}"},
		"no brace":       {[]string{"--backend", "--", "sh", "${model"}, "has no }"},
		"unknown in env": {[]string{"--backend", "--backend-env", "A=${b}", "--", "sh"}, "variable A: ${b} is not known"},
		"no such file":   {[]string{"--backend", "--", "no-such-server"}, "executable file not found in $PATH: install it, or give its absolute path"},
		"climbs":         {[]string{"--model", "../x", "--backend", "--", "sh", "m/${model}"}, `the model "../x" leads out of the directory of "m/${model}"`},
		"chosen by job":  {[]string{"--backend", "--", "${model}"}, "cannot depend on the job"},
		"status":         {[]string{"--backend", "--backend-status", "ok", "--", "sh"}, "want an HTTP status from 200 to 599"},
		"health":         {[]string{"--backend", "--backend-health", "health", "--", "sh"}, "want a path that begins with /"},
		"env":            {[]string{"--backend", "--backend-env", "A", "--", "sh"}, "want NAME=VALUE"},
		"grace":          {[]string{"--backend", "--backend-grace", "0s", "--", "sh"}, "want a duration"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(append(slices.Clone(contract), test.args...), environment(nil))
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestDeviceIndex(t *testing.T) {
	t.Parallel()
	for device, want := range map[string]string{
		"cpu": "0", "cuda": "0", "cuda:0": "0", "cuda:11": "11", "GPU-3": "3", "metal:0": "0", "GPU-4f2c-ab": "0", "": "0",
	} {
		require.Equal(t, want, deviceIndex(device), device)
	}
}
