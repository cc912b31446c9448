package queen_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestCatalogReadsEveryPage(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	var all []messages.CatalogEntry
	for i := range 5 {
		all = append(all, messages.CatalogEntry{Dir: fmt.Sprintf("/c/w-v%d.0.0-linux", i), Worker: "w"})
	}
	pages := 0
	playAnswers(t, srv.URL(), "gpu-1", messages.CatalogList, func(data []byte) encoder {
		pages++
		skip := read(t, data, messages.CatalogList, messages.DecodeCatalogRequest).Skip
		page := messages.CatalogPage{HiveID: "gpu-1", CatalogDir: "/c", Platform: "linux/amd64", Entries: all[skip:]}
		if len(page.Entries) > 2 {
			page.Entries, page.Next = page.Entries[:2], skip+2
		}
		return page
	})
	playAnswers(t, srv.URL(), "circle", messages.CatalogList, func([]byte) encoder {
		return messages.CatalogPage{HiveID: "circle", Entries: all[:1], Next: 1}
	})
	client, _ := connect(t, srv.URL())
	got, err := client.Catalog(patient(t), "gpu-1")
	require.NoError(t, err)
	require.Equal(t, messages.CatalogPage{HiveID: "gpu-1", CatalogDir: "/c", Platform: "linux/amd64", Entries: all}, got)
	require.Equal(t, 3, pages)

	_, err = client.Catalog(patient(t), "circle")
	require.ErrorContains(t, err, "the page behind 1 says that 1 comes next")
}

func TestExplain(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerSpawn, func(data []byte) encoder {
		job := read(t, data, messages.WorkerSpawn, messages.DecodeJob)
		if !job.DryRun {
			t.Errorf("a job that is no dry run was sent: %s", data)
		}
		if job.Device != "cpu" {
			return messages.Failure{HiveID: "gpu-1", Err: messages.Errorf(messages.UnsupportedDevice, "no %s", job.Device)}
		}
		return messages.Plan{HiveID: "gpu-1", DryRun: true, Model: job.Model, BinaryPath: "/c/w"}
	})
	client, _ := connect(t, srv.URL())
	plan, err := client.Explain(patient(t), "gpu-1", messages.Job{Model: "m", Device: "cpu"})
	require.NoError(t, err)
	require.Equal(t, "m", plan.Model)
	_, err = client.Explain(patient(t), "gpu-1", messages.Job{Model: "m", Device: "tpu"})
	require.ErrorIs(t, err, messages.UnsupportedDevice)

	_, err = client.Spawn(patient(t), "gpu-1", messages.Job{Model: "m", Device: "cpu", DryRun: true}, nil)
	require.ErrorIs(t, err, messages.InvalidJob)
	require.ErrorContains(t, err, "dry_run")
}
