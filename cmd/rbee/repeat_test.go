package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRepeatIsTheWholeCommand(t *testing.T) {
	t.Setenv("NATS_CREDS", "there.creds") // who asks again has it, too
	given := []string{
		"--model", "it's a model", "--device", "cuda:0", "--port", "9001", "--wait", "--quiet=false", "--timeout", "1m30s", "--queue", "--deadline", "1h",
		"--context", "far away", "--creds", "there.creds", "--token", "secret", "--server", "user:secret@localhost", "--queen-url", "http://me:secret@q/",
	}
	cmd := spawnCommand()
	require.NoError(t, cmd.ParseFlags(given))
	f := &spawnFlags{}
	f.job.JobID = "job-1"
	require.Equal(t, `spawn --hive gpu-1 --model 'it'\''s a model' --device cuda:0 --port 9001 --wait --timeout 1m30s --quiet=false --queue --deadline 1h0m0s `+
		`--context 'far away' --job-id job-1`, regexp.MustCompile(` --(server|token|queen-url) '…'`).ReplaceAllString(f.repeat(cmd, "gpu-1"), ""))
	require.Equal(t, 3, strings.Count(f.repeat(cmd, "gpu-1"), " '…'"), "who asks again fills them in")
	require.NotContains(t, f.repeat(cmd, "gpu-1"), "secret")
}

func TestQuoteIsReadBackByAShell(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"", "plain", "two words", "it's", `$HOME "x" \ ; #`, "*", "~", "line\nbreak"} {
		said, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quote(word)).Output()
		require.NoError(t, err)
		require.Equal(t, word, string(said))
	}
}
