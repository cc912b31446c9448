package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// workersTime is how long a completion may ask for workers. A hive one of whose workers hangs waits for that for a second before it tells of
// them all.
const workersTime = 1500 * time.Millisecond

// asking is what a completion asks of a fleet.
type asking func(ctx context.Context, client *queen.Client, found *cli.Found)

// complete returns what asks the fleet for what a flag can be.
func (f *fleet) complete(ask asking) cobra.CompletionFunc {
	return cli.Asking(cli.CompletionTime, func(ctx context.Context, _ []string, found *cli.Found) { f.consult(ctx, ask, found) })
}

// completeArgs returns what asks the fleet for the first n arguments.
func (f *fleet) completeArgs(n int, ask asking) cobra.CompletionFunc {
	return cli.AskingFirst(n, cli.CompletionTime, func(ctx context.Context, _ []string, found *cli.Found) { f.consult(ctx, ask, found) })
}

// completeWorker is completeArgs for a command about one worker.
func (f *fleet) completeWorker(ask asking) cobra.CompletionFunc {
	return cli.AskingFirst(1, workersTime, func(ctx context.Context, _ []string, found *cli.Found) { f.consult(ctx, ask, found) })
}

// consult connects without a word and asks.
func (f *fleet) consult(ctx context.Context, ask asking, found *cli.Found) {
	f.aside(ctx, natsconn.Options{Name: "rbee completion"}, func(client *queen.Client) { ask(ctx, client, found) })
}

// aside asks over a connection of its own, of whose failures the user is not told.
func (f *fleet) aside(ctx context.Context, opts natsconn.Options, ask func(*queen.Client)) {
	subjects, err := messages.NewSubjects(f.prefix)
	if err != nil {
		return
	}
	nc, err := natsconn.Connect(ctx, f.nats, opts)
	if err != nil {
		return
	}
	defer nc.Close()
	ask(queen.New(nc, queen.Config{Subjects: subjects}))
}

func findHives(ctx context.Context, client *queen.Client, found *cli.Found) {
	hives, _ := client.Hives(ctx)
	for _, hive := range hives {
		found.Add(hive.ID, deviceSummary(hive.Devices))
	}
}

// findDevices returns what finds the devices of a hive, or of all.
func findDevices(of *string) asking {
	return func(ctx context.Context, client *queen.Client, found *cli.Found) {
		hives, _ := client.Hives(ctx)
		for _, hive := range hives {
			for _, device := range hive.Devices {
				if *of == "" || *of == hive.ID {
					found.Add(device.Device, device.Name)
				}
			}
		}
	}
}

// findWorkers returns what finds the workers of a hive, or of all, with those that have ended if exited is set.
func findWorkers(of *string, exited bool) asking {
	return func(ctx context.Context, client *queen.Client, found *cli.Found) {
		eachHive(ctx, client, *of, func(hive string) {
			workers, _ := client.Workers(ctx, hive, messages.ListRequest{Exited: exited})
			for _, w := range workers {
				found.Add(w.WorkerID, fmt.Sprintf("%s on %s, %s", w.Model, w.Device, w.State))
			}
		})
	}
}

// findInstalled returns what finds the workers that are installed on the machine of a hive, or of all.
func findInstalled(of *string) asking {
	return func(ctx context.Context, client *queen.Client, found *cli.Found) {
		eachHive(ctx, client, *of, func(hive string) {
			page, _ := client.Catalog(ctx, hive)
			for _, entry := range page.Entries {
				if entry.Problem == "" {
					found.Add(entry.Worker, entry.Description)
				}
			}
		})
	}
}

// findJobs returns what finds the newest jobs of a hive, or of all, that are in one of the states; none means any.
func findJobs(of *string, states ...queen.JobState) asking {
	if len(states) == 0 {
		states = []queen.JobState{""}
	}
	return func(ctx context.Context, client *queen.Client, found *cli.Found) {
		for _, state := range states {
			page, _ := client.Jobs(ctx, queen.JobFilter{Hive: *of, State: state})
			for _, job := range page.Jobs {
				found.Add(job.JobID, strings.TrimSpace(fmt.Sprintf("%s, %s %s", job.State, job.Operation, job.Model)))
			}
		}
	}
}

// eachHive asks one hive, or all that answer at the same time.
func eachHive(ctx context.Context, client *queen.Client, one string, ask func(hive string)) {
	ids := []string{one}
	if one == "" {
		hives, err := client.Hives(ctx)
		if err != nil {
			return
		}
		ids = hiveIDs(hives)
	}
	var asked sync.WaitGroup
	defer asked.Wait()
	for _, id := range ids {
		asked.Go(func() { ask(id) })
	}
}
