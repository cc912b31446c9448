package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// CompletionTime is how long most completions may ask others, unless CompletionTimeout says otherwise: who presses Tab waits.
const CompletionTime = 500 * time.Millisecond

// addTime is how long a completion that ran out of time may take to add what it has found by then.
const addTime = 250 * time.Millisecond

// CompletionTimeout is the environment variable that says how long a completion may ask others, where the network is slow.
const CompletionTimeout = "RBEE_COMPLETION_TIMEOUT"

// patience returns how long a completion may ask others that usually has so long.
func patience(usually time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(CompletionTimeout)); err == nil && d > 0 {
		return d
	}
	return usually
}

// Found collects what an argument can be, from several goroutines.
type Found struct {
	mu    sync.Mutex
	words map[string]string
}

// Add adds a word and what the shell says beside it; of a word that is there already the first description stays.
func (f *Found) Add(word, description string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.words == nil {
		f.words = map[string]string{}
	}
	if _, there := f.words[word]; !there {
		f.words[word] = description
	}
}

// beginning returns the words that begin with text and are not among those that are there.
func (f *Found) beginning(text string, there []string) []cobra.Completion {
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []cobra.Completion
	for word, description := range f.words {
		if strings.HasPrefix(word, text) && !slices.Contains(there, word) {
			words = append(words, cobra.CompletionWithDesc(Printable(word), Printable(strings.ReplaceAll(description, "\n", " "))))
		}
	}
	slices.Sort(words)
	return words
}

// Asking returns what completes an argument or a flag by asking others for it, for limit or [CompletionTimeout]: what has been found by
// then is offered. Failures are nobody's business who presses Tab. ask is given the arguments that are there; flags have their environment
// variables.
func Asking(limit time.Duration, ask func(ctx context.Context, args []string, found *Found)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if fromEnvironment(cmd.Flags()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), patience(limit))
		defer cancel()
		var found Found
		done := make(chan struct{})
		go func() { // a connection that is being made does not end with ctx; the process does soon
			defer close(done)
			ask(ctx, args, &found)
		}()
		select {
		case <-done:
		case <-ctx.Done():
			select {
			case <-done:
			case <-time.After(addTime):
			}
		}
		return found.beginning(begun, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// AskingFirst is [Asking] for a command that takes n arguments: behind them nothing is offered.
func AskingFirst(n int, limit time.Duration, ask func(ctx context.Context, args []string, found *Found)) cobra.CompletionFunc {
	complete := Asking(limit, ask)
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, begun)
	}
}
