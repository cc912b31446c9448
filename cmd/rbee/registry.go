package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

// registry is the flag that says where the queen's registry is.
type registry struct{ base string }

func (r *registry) addFlags(cmd *cobra.Command) {
	cli.Section(cmd, "Queen", func(fs *pflag.FlagSet) {
		fs.StringVar(&r.base, "queen-url", defaultQueen, "`URL` of the queen's registry")
		cli.Variables(fs, map[string]string{"queen-url": "RBEE_QUEEN_URL"})
	})
}

// check refuses a URL that is none.
func (r *registry) check() error {
	if err := messages.CheckQueenURL(r.base); err != nil {
		return cli.Usagef("--queen-url: %w", err)
	}
	return nil
}

// workers returns the workers that the queen knows.
func (r *registry) workers(ctx context.Context) ([]queen.Worker, error) {
	var answer struct {
		Workers []queen.Worker `json:"workers"`
	}
	status, err := r.get(ctx, "/v1/workers", &answer)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, r.noQueen(status)
	}
	return answer.Workers, nil
}

// worker returns one worker that the queen knows; false if she knows none with this id.
func (r *registry) worker(ctx context.Context, id string) (queen.Worker, bool, error) {
	var answer struct {
		queen.Worker
		Error struct {
			Code messages.Code `json:"code"`
		} `json:"error"`
	}
	status, err := r.get(ctx, "/v1/workers/"+url.PathEscape(id), &answer)
	switch {
	case err != nil:
		return queen.Worker{}, false, err
	case status == http.StatusNotFound && answer.Error.Code == messages.WorkerNotFound:
		return queen.Worker{}, false, nil
	case status != http.StatusOK || answer.ID != id:
		return queen.Worker{}, false, r.noQueen(status)
	}
	return answer.Worker, true, nil
}

// get asks the queen and reads her answer.
func (r *registry) get(ctx context.Context, path string, answer any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.base, "/")+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		// The error repeats the URL; what is behind it does not.
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return 0, fmt.Errorf("no queen answers at %s (%w): start one with `rbee queen` or `rbee dev`, or name another with --queen-url", redacted(r.base), err)
	}
	defer resp.Body.Close()
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(answer) != nil {
		return 0, r.noQueen(resp.StatusCode)
	}
	return resp.StatusCode, nil
}

// noQueen says that somebody else answers at the URL.
func (r *registry) noQueen(status int) error {
	return fmt.Errorf("what answers at %s is no queen (HTTP status %d): check --queen-url", redacted(r.base), status)
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
