package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// A page is as long as the server takes, and all pages together are the catalog.
func TestCatalogIsAnsweredInPagesThatFit(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	all := make([]messages.CatalogEntry, 300)
	for i := range all {
		all[i] = messages.CatalogEntry{Dir: fmt.Sprintf("/c/w-v%d.0.0-linux", i), Problem: strings.Repeat("x", 10_000)}
	}
	serve(t, srv.URL(), keeper{cat: func(_ context.Context, req messages.CatalogRequest) (messages.CatalogPage, error) {
		return messages.CatalogPage{HiveID: "gpu-1", CatalogDir: "/c", Entries: all[req.Skip:]}, nil
	}}, consumer.Config{})
	nc := dial(t, srv.URL())
	var got []messages.CatalogEntry
	for skip := 0; ; {
		page, err := messages.DecodeCatalog(question(t, nc, "catalog_list", fmt.Sprintf(`{"skip":%d}`, skip)).Data)
		require.NoError(t, err)
		require.NotEmpty(t, page.Entries)
		got = append(got, page.Entries...)
		if skip = page.Next; skip == 0 {
			break
		}
		require.Len(t, got, skip)
	}
	require.Equal(t, all, got)
	require.Equal(t, messages.WrongHive, failureOf(t, question(t, nc, "catalog_list", `{"hive_id":"gpu-2"}`)).Err.Code)
}

// A dry run is a question: it takes no slot, starts nothing, tells nothing and leaves no result.
func TestDryRunIsAnsweredAndLeavesNothing(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	var asked []messages.Job
	starts := spawnFunc(func(context.Context, messages.Job, func(messages.Event), consumer.Waiting) (messages.Result, error) {
		panic("a dry run was started")
	})
	r := serve(t, srv.URL(), keeper{spawnFunc: starts, plan: func(_ context.Context, job messages.Job) (messages.Plan, error) {
		asked = append(asked, job)
		if job.Worker != "" {
			return messages.Plan{}, messages.Errorf(messages.WorkerNotInstalled, "%s is not installed", job.Worker)
		}
		return messages.Plan{DryRun: true, BinaryPath: "/c/w", Why: "it is the only version"}, nil
	}}, consumer.Config{})
	w := tap(t, srv.URL())
	w.rest(t, r.nc)
	nc := dial(t, srv.URL())

	plan, err := messages.DecodePlan(question(t, nc, "worker_spawn", `{"model":"m","device":"cpu","job_id":"j","dry_run":true}`).Data)
	require.NoError(t, err)
	require.Equal(t, messages.Plan{
		HiveID: "gpu-1", JobID: "j", DryRun: true, BinaryPath: "/c/w", Why: "it is the only version", Args: []string{}, Env: []string{},
	}, plan)
	require.Equal(t, []messages.Job{{Operation: messages.WorkerSpawn, JobID: "j", Model: "m", Device: "cpu", DryRun: true}}, asked)

	failed := failureOf(t, question(t, nc, "worker_spawn", `{"model":"m","device":"cpu","worker":"nobody","dry_run":true}`))
	require.Equal(t, messages.WorkerNotInstalled, failed.Err.Code)
	for _, msg := range w.rest(t, r.nc) {
		require.NotRegexp(t, `^rbee\.v1\.(narration|result)\.`, msg.Subject)
	}
}
