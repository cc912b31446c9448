package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// defaultQueen is where a queen listens unless it is told otherwise.
const defaultQueen = "http://localhost:8500"

func workersCommand() *cobra.Command {
	var queenURL string
	cmd := &cobra.Command{
		Use:   "workers",
		Short: "List the workers that report to the queen",
		Long: `workers lists what the queen knows of the workers, which is what their heartbeats told her: ready, busy, starting or
stopped; stale after 90 s of silence, gone after 10 min.`,
		Example: `  rbee workers
  rbee workers --queen-url http://queen.example:8500 -o json | jq '.workers[] | select(.state == "ready")'`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Queen", func(fs *pflag.FlagSet) {
		fs.StringVar(&queenURL, "queen-url", defaultQueen, "`URL` of the queen's registry")
		cli.Variables(fs, map[string]string{"queen-url": "RBEE_QUEEN_URL"})
	})
	output := cli.AddOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := messages.CheckQueenURL(queenURL); err != nil {
			return cli.Usagef("--queen-url: %w", err)
		}
		workers, err := askQueen(cmd.Context(), queenURL)
		if err != nil {
			return err
		}
		if output.JSON() {
			return cli.WriteJSON(cmd.OutOrStdout(), registered{workers})
		}
		if len(workers) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "No worker reports to the queen. Start one with `rbee spawn`.")
			return nil
		}
		return printWorkers(cmd.OutOrStdout(), workers)
	}
	return cmd
}

// registered is the body of the queen's answer.
type registered struct {
	Workers []queen.Worker `json:"workers"`
}

// askQueen returns the workers that the queen at the base URL knows.
func askQueen(ctx context.Context, base string) ([]queen.Worker, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	asked := strings.TrimSuffix(base, "/") + "/v1/workers"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, asked, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		// The error repeats the URL; what is behind it does not.
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return nil, fmt.Errorf("no queen answers at %s (%w): start one with `rbee queen` or `rbee dev`, or name another with --queen-url", redacted(base), err)
	}
	defer resp.Body.Close()
	var answer registered
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(&answer) != nil {
		return nil, fmt.Errorf("what answers at %s is no queen (HTTP status %d): check --queen-url", redacted(base), resp.StatusCode)
	}
	return answer.Workers, nil
}

// printWorkers writes a table of workers.
func printWorkers(w io.Writer, workers []queen.Worker) error {
	rows := [][]string{{"WORKER", "STATE", "MODEL", "DEVICE", "HIVE", "HOST", "PORT", "PID", "HEARD"}}
	for _, worker := range workers {
		row := []string{
			worker.ID, string(worker.State), worker.ModelID, worker.Device, worker.HiveID, worker.Host, strconv.Itoa(worker.Port),
			strconv.Itoa(worker.PID), (time.Duration(worker.AgeMS) * time.Millisecond).Round(time.Second).String() + " ago",
		}
		for i := range row {
			row[i] = messages.OneLine(cli.Printable(cmp.Or(row[i], "-")))
		}
		rows = append(rows, row)
	}
	return cli.Table(w, rows...)
}

// redacted returns a URL without its user and password.
func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "its URL"
	}
	u.User = nil
	return u.String()
}

// reachable returns the address of a listener as a client on this machine writes it.
func reachable(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return address.String()
	}
	return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
}
