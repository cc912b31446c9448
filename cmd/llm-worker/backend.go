package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/internal/backend"
)

// defaultGrace is below the 10 s that a hive gives a worker, so that the backend is ended by its own adapter.
const defaultGrace = 8 * time.Second

// backendConfig is a server that this worker starts and stands for. Its texts are templates.
type backendConfig struct {
	args   []string // the program's name first
	path   string   // the program's file
	health string   // path of its health check
	status int      // of a server that serves
	env    []string // NAME=value, over this process's own; an empty value takes the variable away
	grace  time.Duration
}

// name is what the backend is called in logs and answers.
func (b *backendConfig) name() string { return filepath.Base(b.args[0]) }

// backendFlags are the flags of a backend as they are given.
type backendFlags struct {
	backendConfig
	on bool
}

// defineBackend binds the flags of a backend.
func defineBackend(flags *flag.FlagSet) *backendFlags {
	f := &backendFlags{backendConfig: backendConfig{health: "/health", status: 200, grace: defaultGrace}}
	flags.BoolVar(&f.on, "backend", false, "")
	flags.Func("backend-health", "", func(value string) error {
		if !strings.HasPrefix(value, "/") || strings.ContainsAny(value, " \t\n") {
			return errors.New("want a path that begins with /, such as /health")
		}
		f.health = value
		return nil
	})
	flags.Func("backend-status", "", func(value string) error {
		code, err := strconv.Atoi(value)
		if err != nil || code < 200 || code > 599 {
			return errors.New("want an HTTP status from 200 to 599")
		}
		f.status = code
		return nil
	})
	flags.Func("backend-env", "", func(value string) error {
		name, _, found := strings.Cut(value, "=")
		if !found || name == "" || strings.ContainsAny(name, " \t\n") {
			return errors.New("want NAME=VALUE, or NAME= to take the variable away")
		}
		f.env = append(f.env, value)
		return nil
	})
	flags.Func("backend-grace", "", duration(&f.grace, time.Millisecond, time.Hour))
	return f
}

// finish checks the flags against each other and against this machine, and returns the backend; nil if there is none.
func (f *backendFlags) finish(flags *flag.FlagSet, cfg config) (*backendConfig, error) {
	if !f.on {
		var stray error
		flags.Visit(func(given *flag.Flag) {
			if strings.HasPrefix(given.Name, "backend-") {
				stray = fmt.Errorf("--%s: it needs --backend, and a server behind --", given.Name)
			}
		})
		return nil, stray
	}
	if runtime.GOOS == "windows" {
		return nil, fmt.Errorf("--backend: %w", backend.ErrUnsupported)
	}
	if flags.NArg() == 0 {
		return nil, errors.New("--backend: put the server's command behind it: --backend -- llama-server --port '${backend_port}'")
	}
	found := f.backendConfig
	found.args = flags.Args()
	command, err := found.command(cfg, 1, nil)
	if err != nil {
		return nil, fmt.Errorf("--backend: %w", err)
	}
	found.path = command.Path
	return &found, nil
}

// command returns the backend's command for one port, in an environment made of environ.
func (b *backendConfig) command(cfg config, port int, environ []string) (backend.Command, error) {
	values := map[string]string{
		"backend_port": strconv.Itoa(port), "model": cfg.model, "device": cfg.device,
		"device_index": deviceIndex(cfg.device), "worker_id": cfg.workerID,
	}
	command := backend.Command{Path: b.path, Grace: b.grace, Output: os.Stderr}
	for _, template := range b.args {
		if climbs(template, cfg.model) {
			return command, fmt.Errorf("the model %q leads out of the directory of %q: name a model that does not go up", cfg.model, template)
		}
		arg, err := backend.Expand(template, values)
		if err != nil {
			return command, err
		}
		command.Args = append(command.Args, arg)
	}
	if command.Args[0] != b.args[0] {
		return command, fmt.Errorf("the program %q cannot depend on the job: name it as it is", b.args[0])
	}
	var own []string
	for _, template := range b.env {
		name, value, _ := strings.Cut(template, "=")
		value, err := backend.Expand(value, values)
		if err != nil {
			return command, fmt.Errorf("variable %s: %w", name, err)
		}
		own = append(own, name+"="+value)
	}
	command.Env = backendEnvironment(environ, own)
	if command.Path != "" {
		return command, nil
	}
	var err error
	if command.Path, err = exec.LookPath(command.Args[0]); err != nil {
		return command, fmt.Errorf("%w: install it, or give its absolute path", err)
	}
	return command, nil
}

// climbs reports whether a template names a directory in front of the model, and the model goes up: then it would be a file
// anywhere on the machine.
func climbs(template, model string) bool {
	before, _, found := strings.Cut(template, "${model}")
	up := func(r rune) bool { return r == '/' || r == '\\' }
	return found && strings.ContainsFunc(before, up) && slices.Contains(strings.FieldsFunc(model, up), "..")
}

// backendEnvironment returns environ with the variables of own in it, and without those that would speak over the backend's
// arguments: LLAMA_ARG_PORT makes llama-server listen elsewhere where --port is not given, VLLM_PORT is the first of the
// ports that the processes of vLLM use among themselves.
func backendEnvironment(environ, own []string) []string {
	set := make(map[string]bool)
	for _, entry := range own {
		name, _, _ := strings.Cut(entry, "=")
		set[name] = true
	}
	var env []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if set[name] || strings.HasPrefix(name, "LLAMA_ARG_") || name == "VLLM_PORT" || name == "VLLM_HOST_IP" {
			continue
		}
		env = append(env, entry)
	}
	for _, entry := range own {
		if !strings.HasSuffix(entry, "=") {
			env = append(env, entry)
		}
	}
	return env
}

// deviceIndex returns the number in a device string, cuda:1 or GPU-1, and 0 where it has none.
func deviceIndex(device string) string {
	if at := strings.LastIndexAny(device, ":-"); at >= 0 {
		if n, err := strconv.ParseUint(device[at+1:], 10, 16); err == nil {
			return strconv.FormatUint(n, 10)
		}
	}
	return "0"
}
