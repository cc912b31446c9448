package spawner

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/catalog"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/process"
)

// Explain returns what the job would start, and why that, and starts nothing: it takes no lock and no port, and keeps
// nothing. The job must be valid; its ids may be empty. The errors are those of [Spawner.Spawn] up to a start. Like a start
// it verifies the program, checksum included.
func (s *Spawner) Explain(ctx context.Context, job messages.Job) (messages.Plan, error) {
	if job.WorkerID == "" {
		job.WorkerID = "${" + catalog.ValueWorkerID + "}"
		if job.JobID != "" {
			job.WorkerID = messages.WorkerID(s.cfg.HiveID, job.JobID)
		}
	}
	worker, err := typeOf(job)
	if err != nil {
		return messages.Plan{}, err
	}
	if err := s.checkDevice(ctx, job, story{emit: func(messages.Event) {}}); err != nil {
		return messages.Plan{}, err
	}
	found, skipped, err := s.locate(ctx, job, worker)
	found, err = s.wouldBuild(ctx, job, worker, found, err)
	if err != nil {
		return messages.Plan{}, err
	}
	defer found.program.Close()
	port := "${" + catalog.ValuePort + "}"
	if job.Port != 0 {
		port = strconv.Itoa(job.Port)
	}
	cmd, terms, err := s.command(ctx, job, found, port)
	if err != nil {
		return messages.Plan{}, err
	}
	plan := messages.Plan{
		HiveID: s.cfg.HiveID, JobID: job.JobID, WorkerID: job.WorkerID, DryRun: true, Device: job.Device, Model: messages.Redact(job.Model),
		Port: job.Port, Ports: s.cfg.Ports.String(), WorkerType: string(worker), Worker: found.worker, Version: found.version,
		Source: found.source, BinaryPath: found.path, Why: found.why, Args: redacted(cmd)[1:], Env: s.shown(cmd, found), WorkDir: cmd.Dir,
	}
	plan.HealthPath, plan.HealthStatus = terms.health()
	signal, grace := terms.stop(s.cfg.StopGrace)
	plan.StopSignal, plan.StopGraceMS = signal, grace.Milliseconds()
	for _, broken := range skipped {
		plan.Skipped = append(plan.Skipped, messages.Skipped{Path: broken.Path, Reason: messages.OneLine(broken.Err.Error())})
	}
	return plan, nil
}

// secretName matches the names of variables whose values are secrets in all likelihood.
var secretName = regexp.MustCompile(`(?i)TOKEN|SECRET|PASS|CREDENTIAL|AUTH|KEY`)

// shown returns the environment of a command with … for what could be a secret: all that was passed on by name, and what
// is called like one.
func (s *Spawner) shown(cmd process.Command, found located) []string {
	shown := make([]string, len(cmd.Env))
	for i, entry := range cmd.Env {
		name, _, _ := strings.Cut(entry, "=")
		passed := slices.Contains(s.cfg.PassEnv, name)
		if m := found.entry.Manifest; m != nil && slices.Contains(m.Env.Pass, name) {
			_, set := m.Env.Set[name]
			passed = passed || !set
		}
		if passed || secretName.MatchString(name) {
			entry = name + "=…"
		}
		shown[i] = messages.Redact(entry)
	}
	return shown
}

// NewExplainer returns a spawner of which only [Spawner.Explain], [Spawner.Catalog] and [Spawner.Close] may be called. It needs no run
// directory, so it can be asked beside a hive at work.
func NewExplainer(cfg Config) (*Spawner, error) {
	cfg = cfg.withDefaults()
	env, err := environment(os.Environ(), cfg.PassEnv)
	if err != nil {
		return nil, err
	}
	if cfg.LogDir, err = filepath.Abs(cfg.LogDir); err != nil {
		return nil, err
	}
	s := &Spawner{cfg: cfg, env: env, own: ownVariables(os.Environ()), devices: device.NewFinder(cfg.Devices), quit: make(chan struct{})}
	if s.updater, err = newUpdater(cfg); err != nil {
		return nil, err
	}
	if cfg.CatalogDir != "" {
		s.catalog = catalog.Open(cfg.CatalogDir)
	}
	return s, nil
}
