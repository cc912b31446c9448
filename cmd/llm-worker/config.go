package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The queen counts a worker as stale after 90 s without a heartbeat, so a longer interval would be a mistake.
const (
	defaultHeartbeat = 30 * time.Second
	staleAfter       = 90 * time.Second
)

const usage = `llm-worker serves one model name on one device and one port, as a hive starts it.
It answers with a small deterministic text generator of its own; it does not load the named model.
With --backend it starts another server instead, and is the worker for it: any that speaks the OpenAI API.

Usage:
  llm-worker --worker-id ID --model MODEL --device DEVICE --port PORT [--queen-url URL] [flags]
  llm-worker --worker-id ID --model MODEL --device DEVICE --port PORT [--queen-url URL] --backend [flags] -- SERVER [ARG...]

The contract, in the order in which a hive passes it:
  --worker-id ID        id of this worker: 1 to 64 of A-Z a-z 0-9 _ -
  --model MODEL         name of the model it answers for
  --device DEVICE       cpu, cuda:0, metal, …; only reported
  --port PORT           TCP port to listen on; 0 takes a free one and logs it
  --queen-url URL       where heartbeats go; without it there are none

Its own flags, each also an environment variable (the flag wins):
  --host HOST           address to listen on (LLM_WORKER_HOST; default 127.0.0.1)
  --load-time D         time from start to ready, e.g. 2s (LLM_WORKER_LOAD_TIME; default 0s)
  --token-time D        time per generated token, e.g. 50ms (LLM_WORKER_TOKEN_TIME; default 0s)
  --heartbeat D         time between heartbeats, below 90s (LLM_WORKER_HEARTBEAT; default 30s)
  --version             print the version
  --help                print this text

A backend (Linux, macOS):
  --backend             start the server behind --, and pass requests to /v1/ on to it
  --backend-health PATH what to ask it for its health (default /health)
  --backend-status CODE what it answers when it serves (default 200)
  --backend-env NAME=V  a variable of its environment, or NAME= to take one away; may be repeated
  --backend-grace D     how long it may take to end before it is killed (default 8s)
In its ARGs and the values of --backend-env, these are replaced, whatever they contain; $${ stands for ${ itself:
  ${backend_port}       a free port of 127.0.0.1, where the server must listen
  ${model} ${device} ${device_index} ${worker_id}
LLAMA_ARG_* and VLLM_PORT, VLLM_HOST_IP are taken out of its environment, since they would overrule or confuse its flags.

Endpoints: GET /health, GET /info, GET /v1/models, POST /v1/chat/completions; of a backend, all below /v1/
Exit codes: 0 stopped as asked, 1 failure, 2 wrong usage; the backend's own if it ends by itself
`

// errVersion asks for the version instead of a worker.
var errVersion = errors.New("version requested")

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// config is what one worker was told at its start.
type config struct {
	workerID  string
	model     string
	device    string
	port      int           // 0: the system picks a free one
	queen     *url.URL      // nil: no heartbeats
	hiveID    string        // empty: started by hand
	host      string        // address to listen on
	loadTime  time.Duration // 0: ready at once
	tokenTime time.Duration // 0: as fast as it goes
	heartbeat time.Duration
	backend   *backendConfig // nil: the generator of this program serves
}

// parse reads the arguments over the environment. It returns flag.ErrHelp or errVersion when the caller asks for
// these, and otherwise an error that says what to change.
func parse(args []string, lookup func(string) (string, bool)) (config, error) {
	cfg := config{host: "127.0.0.1", heartbeat: defaultHeartbeat}
	cfg.hiveID, _ = lookup("RBEE_HIVE_ID")
	flags := flag.NewFlagSet(implementation, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, once
	showVersion, queenURL := cfg.define(flags)
	server := defineBackend(flags)

	if err := fromEnvironment(flags, lookup); err != nil {
		return config{}, err
	}
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if *showVersion {
		return config{}, errVersion
	}
	if flags.NArg() > 0 && !server.on {
		return config{}, fmt.Errorf("unexpected argument %q: every value belongs to a flag, and a server needs --backend", flags.Arg(0))
	}
	if err := requireContract(flags); err != nil {
		return config{}, err
	}
	var err error
	if cfg.queen, err = parseQueenURL(*queenURL); err != nil {
		return config{}, err
	}
	cfg.backend, err = server.finish(flags, cfg)
	return cfg, err
}

// define binds every flag to its field of c. It returns the one that is not a setting, and the queen's URL as it is
// given: package flag repeats a value that it refuses, and this one may hold a password.
func (c *config) define(flags *flag.FlagSet) (showVersion *bool, queenURL *string) {
	flags.Func("worker-id", "", func(value string) error {
		if !idPattern.MatchString(value) {
			return errors.New("want 1 to 64 of A-Z a-z 0-9 _ -")
		}
		c.workerID = value
		return nil
	})
	flags.Func("model", "", text(&c.model))
	flags.Func("device", "", text(&c.device))
	flags.Func("port", "", func(value string) error {
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return errors.New("want a number from 0 to 65535")
		}
		c.port = int(port)
		return nil
	})
	flags.Func("host", "", text(&c.host))
	flags.Func("load-time", "", duration(&c.loadTime, 0, 24*time.Hour))
	flags.Func("token-time", "", duration(&c.tokenTime, 0, 24*time.Hour))
	flags.Func("heartbeat", "", duration(&c.heartbeat, time.Millisecond, staleAfter-time.Millisecond))
	return flags.Bool("version", false, ""), flags.String("queen-url", "", "")
}

// fromEnvironment sets the flags that a hive does not pass from their variables; an empty variable is no variable.
func fromEnvironment(flags *flag.FlagSet, lookup func(string) (string, bool)) error {
	for _, name := range []string{"host", "load-time", "token-time", "heartbeat"} {
		variable := "LLM_WORKER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value, ok := lookup(variable)
		if !ok || value == "" {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("environment variable %s=%q: %w", variable, value, err)
		}
	}
	return nil
}

func requireContract(flags *flag.FlagSet) error {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var missing []string
	for _, name := range []string{"worker-id", "model", "device", "port"} {
		if !given[name] {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing %s: add it, a hive always passes it", strings.Join(missing, ", "))
	}
	return nil
}

func text(target *string) func(string) error {
	return func(value string) error {
		if strings.TrimSpace(value) == "" {
			return errors.New("want a text that is not empty")
		}
		*target = value
		return nil
	}
}

func duration(target *time.Duration, low, high time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < low || d > high {
			return fmt.Errorf("want a duration from %v to %v, such as 500ms or 2s", low, high)
		}
		*target = d
		return nil
	}
}

// parseQueenURL returns nil for an empty URL. Its error does not repeat the URL.
func parseQueenURL(value string) (*url.URL, error) {
	if value == "" {
		return nil, nil
	}
	queen, err := url.Parse(value)
	if err != nil || queen.Host == "" || (queen.Scheme != "http" && queen.Scheme != "https") {
		return nil, errors.New("--queen-url: want a URL such as http://127.0.0.1:8500, or nothing for no heartbeats")
	}
	return queen, nil
}
