package cli

import (
	"context"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// completing returns a command line one of whose arguments is completed by asking.
func completing(n int, ask func(context.Context, []string, *Found)) *cobra.Command {
	root := &cobra.Command{Use: "prog"}
	cmd := &cobra.Command{Use: "end THING", Args: cobra.ExactArgs(n), RunE: func(*cobra.Command, []string) error { return nil }}
	cmd.Flags().String("of", "", "")
	Variables(cmd.Flags(), map[string]string{"of": "TEST_OF"})
	cmd.ValidArgsFunction = AskingFirst(n, CompletionTime, ask)
	root.AddCommand(cmd)
	return root
}

func TestAskingOffersWhatIsFound(t *testing.T) {
	t.Parallel()
	root := completing(2, func(_ context.Context, _ []string, found *Found) {
		found.Add("worker-2", "llama\non cpu")
		found.Add("worker-1", "first")
		found.Add("worker-1", "second")
		found.Add("other", "")
	})
	_, stdout, _ := runProgram(t.Context(), root, "__complete", "end", "w")
	require.Equal(t, "worker-1\tfirst\nworker-2\tllama on cpu\n:4\n", stdout)
	_, stdout, _ = runProgram(t.Context(), root, "__complete", "end", "worker-1", "")
	require.Equal(t, "other\nworker-2\tllama on cpu\n:4\n", stdout, "what is there already is not offered")
	_, stdout, _ = runProgram(t.Context(), root, "__complete", "end", "a", "b", "")
	require.Equal(t, ":4\n", stdout)
}

// Who presses Tab waits for a moment at most, and gets what was found by then.
func TestAskingDoesNotWait(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	root := completing(1, func(_ context.Context, _ []string, found *Found) {
		found.Add("early", "")
		<-never // as a connection does that is being made
	})
	began := time.Now()
	_, stdout, _ := runProgram(t.Context(), root, "__complete", "end", "")
	require.Equal(t, "early\n:4\n", stdout)
	require.Less(t, time.Since(began), 20*time.Second)
}

// What was heard before the time was over is offered, also if it is only told then.
func TestAskingOffersWhatIsToldAtTheEnd(t *testing.T) {
	t.Parallel()
	root := completing(1, func(ctx context.Context, _ []string, found *Found) {
		<-ctx.Done()
		found.Add("heard", "")
	})
	require.Eventually(t, func() bool {
		_, stdout, _ := runProgram(t.Context(), root, "__complete", "end", "")
		return stdout == "heard\n:4\n"
	}, time.Minute, time.Millisecond)
}

func TestAskingReadsVariables(t *testing.T) {
	t.Setenv("TEST_OF", "me")
	t.Setenv(CompletionTimeout, "1m")
	var of string
	var left time.Duration
	var root *cobra.Command
	root = completing(1, func(ctx context.Context, _ []string, _ *Found) {
		cmd, _, _ := root.Find([]string{"end"})
		of, _ = cmd.Flags().GetString("of")
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
	})
	_, stdout, _ := runProgram(t.Context(), root, "__complete", "end", "")
	require.Equal(t, ":4\n", stdout)
	require.Equal(t, "me", of)
	require.Greater(t, left, 30*time.Second)
}
