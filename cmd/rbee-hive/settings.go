package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/logs"
	"github.com/rbee-keeper/hive/spawner/process"
)

// settings is what `rbee-hive serve` and `doctor` are told by their flags and variables.
type settings struct {
	hiveID string
	nats   natsconn.Config
	prefix string

	queenURL   string
	catalogDir string
	devRoot    string
	rebuild    rebuild
	runDir     string
	logDir     string
	workDir    string
	ports      portRange
	watch      time.Duration
	stopGrace  time.Duration
	groups     bool
	logSize    int // MiB kept of each log
	keepExited int
	keepFor    time.Duration
	passEnv    []string

	maxJobs      int // 0: four per core
	maxWaiting   int
	drainTimeout time.Duration
	queue        queueMode

	log *cli.Log
}

var variables = map[string]string{
	"hive-id":   "RBEE_HIVE_ID",
	"queen-url": "RBEE_QUEEN_URL", "catalog-dir": "RBEE_CATALOG_DIR", "dev-root": "RBEE_DEV_ROOT", "run-dir": "RBEE_RUN_DIR",
	"auto-update": "RBEE_AUTO_UPDATE", "dev-source": "RBEE_DEV_SOURCE", "dev-features": "RBEE_DEV_FEATURES", "build-timeout": "RBEE_BUILD_TIMEOUT",
	"log-dir": "RBEE_LOG_DIR", "work-dir": "RBEE_WORK_DIR", "port-range": "RBEE_PORT_RANGE", "watch": "RBEE_WATCH",
	"stop-grace": "RBEE_STOP_GRACE", "worker-cgroups": "RBEE_WORKER_CGROUPS", "log-size": "RBEE_LOG_SIZE", "keep-exited": "RBEE_KEEP_EXITED", "keep-for": "RBEE_KEEP_FOR",
	"pass-env": "RBEE_PASS_ENV", "max-jobs": "RBEE_MAX_JOBS", "max-waiting": "RBEE_MAX_WAITING",
	"drain-timeout": "RBEE_DRAIN_TIMEOUT", "queue": "RBEE_QUEUE",
}

// addFlags adds every flag of the settings to cmd, with the defaults of this machine.
func (s *settings) addFlags(cmd *cobra.Command) {
	cli.Section(cmd, "Hive", func(fs *pflag.FlagSet) {
		fs.StringVar(&s.hiveID, "hive-id", hostLabel(), "`id` of this hive, which addresses its jobs: letters, digits, '_' or '-'")
		fs.StringVar(&s.queenURL, "queen-url", spawner.DefaultQueenURL, "`URL` where workers send heartbeats, unless the job names one")
		fs.IntVar(&s.maxJobs, "max-jobs", 0, "most jobs at work at once (default 4 per core)")
		fs.IntVar(&s.maxWaiting, "max-waiting", 256, "most jobs that wait for one of those to end; past it a job is refused")
		fs.DurationVar(&s.drainTimeout, "drain-timeout", 30*time.Second, "how long jobs may go on when the hive is told to stop")
		s.queue.QueueMode = consumer.QueueAuto
		fs.Var(&s.queue, "queue", "whether queued jobs are taken: auto, while their stream is there; off; or required, to fail without it")
	})
	cli.Section(cmd, "Workers", func(fs *pflag.FlagSet) {
		fs.StringVar(&s.catalogDir, "catalog-dir", cacheDir(), "`directory` of installed workers")
		fs.StringVar(&s.devRoot, "dev-root", "", "`directory` in the Cargo workspace whose target/ is searched behind the catalog (default the working directory)")
		fs.Var(&s.ports, "port-range", "ports of workers whose job names none")
		fs.DurationVar(&s.watch, "watch", 100*time.Millisecond, "how long a new process is watched before it counts as spawned; 0 is not at all")
		fs.DurationVar(&s.stopGrace, "stop-grace", process.DefaultGrace, "how long a worker that is deleted may take to end before it is killed")
		fs.BoolVar(&s.groups, "worker-cgroups", false, "start each worker in a control group (cgroup v2) of its own, which none of its processes can leave")
		fs.StringVar(&s.runDir, "run-dir", runDir(), "`directory` of locks and records; it belongs on a tmpfs")
		fs.StringVar(&s.logDir, "log-dir", logDir(), "`directory` of the workers' logs")
		fs.IntVar(&s.logSize, "log-size", logSegments*logs.DefaultSegmentSize>>20, "how much of each log is kept, in `MiB`; a third of it is freed at once")
		fs.IntVar(&s.keepExited, "keep-exited", logs.DefaultFiles, "of how many workers that ended the logs are kept, the newest; 0 is of none")
		fs.DurationVar(&s.keepFor, "keep-for", logs.DefaultAge, "how long the logs of workers that ended are kept")
		fs.StringVar(&s.workDir, "work-dir", cmp.Or(cli.HomeDir(), "/"), "working `directory` of workers")
		fs.StringSliceVar(&s.passEnv, "pass-env", nil, "`names`, joined by commas, of variables of the hive that workers get besides the usual ones")
	})
	cli.Section(cmd, "Development builds", s.rebuild.addFlags)
	s.defineConnection(cmd)
	cli.Section(cmd, "Log", func(fs *pflag.FlagSet) { s.log = cli.AddLog(fs, slog.LevelInfo) })
	cli.Variables(cmd.Flags(), variables)
	cli.Elsewhere(cmd, "The flags for the connection to NATS (--server, --creds, --context, …): 'rbee-hive help connection'.", "NATS")
}

// connectionTopic returns the page of the help that explains the flags for NATS.
func connectionTopic() *cobra.Command {
	return cli.Topic("connection", "How to reach NATS: the flags of serve and doctor for it",
		`A hive takes its jobs from NATS. serve and doctor take the flags below; each can stand in the environment variable behind it
instead, which is where a service's credentials belong, and a flag wins over its variable.

Without any, the hive connects to `+natsconn.DefaultServer+` as nobody in particular, and waits for that server if it is away.`,
		new(settings).defineConnection)
}

// defineConnection adds the flags for NATS.
func (s *settings) defineConnection(cmd *cobra.Command) {
	cli.Section(cmd, "NATS", func(fs *pflag.FlagSet) {
		s.nats.AddFlags(fs)
		fs.StringVar(&s.prefix, "subject-prefix", messages.DefaultPrefix, "`words` that every subject begins with, so that fleets can share an account")
	})
	cli.Variables(cmd.Flags(), natsconn.Variables)
	cli.Variables(cmd.Flags(), map[string]string{"subject-prefix": "RBEE_SUBJECT_PREFIX"})
}

// check returns an error of usage for the first setting that cannot be right.
func (s *settings) check() error {
	switch {
	case messages.CheckID(s.hiveID) != nil:
		return cli.Usagef("--hive-id: %w", messages.CheckID(s.hiveID))
	case messages.CheckQueenURL(s.queenURL) != nil:
		return cli.Usagef("--queen-url: %w", messages.CheckQueenURL(s.queenURL))
	case s.maxJobs < 0:
		return cli.Usagef("--max-jobs: is %d; use 1 or more, or 0 for 4 per core", s.maxJobs)
	case s.maxWaiting < 0:
		return cli.Usagef("--max-waiting: is %d; use 0 or more", s.maxWaiting)
	case s.watch < 0:
		return cli.Usagef("--watch: is %s; use 0 or more", s.watch)
	case s.stopGrace <= 0 || s.stopGrace > messages.MaxGrace:
		return cli.Usagef("--stop-grace: is %s; use more than 0 and at most %s", s.stopGrace, messages.MaxGrace)
	case s.logSize < minLogSize:
		return cli.Usagef("--log-size: is %d; use %d MiB or more", s.logSize, minLogSize)
	case s.keepExited < 0:
		return cli.Usagef("--keep-exited: is %d; use 0 or more", s.keepExited)
	case s.keepFor <= 0:
		return cli.Usagef("--keep-for: is %s; use more than 0", s.keepFor)
	case s.drainTimeout < 0:
		return cli.Usagef("--drain-timeout: is %s; use 0 or more", s.drainTimeout)
	case s.runDir == "":
		return cli.Usagef("--run-dir: is missing: name a directory on a tmpfs")
	case s.logDir == "":
		return cli.Usagef("--log-dir: is missing: name a directory for the workers' logs")
	}
	if err := s.rebuild.check(); err != nil {
		return err
	}
	if err := checkPassEnv(s.passEnv); err != nil {
		return cli.Usagef("--pass-env: %w", err)
	}
	if err := s.nats.Validate(); err != nil {
		return cli.Exit(cli.ExitUsage, err)
	}
	return nil
}

// A log is kept in so many segments, of which the oldest is freed at once.
const (
	logSegments = 3
	minLogSize  = 1 // MiB
)

// spawner returns what the settings say of the workers, for a hive and for an explanation alike. It finds the development tree.
func (s *settings) spawner(log *slog.Logger) (spawner.Config, error) {
	devRoot, err := findDevRoot(s.devRoot, s.rebuild.on, log)
	return spawner.Config{
		HiveID: s.hiveID, CatalogDir: s.catalogDir, DevRoot: devRoot, Rebuild: s.rebuild.config(), RunDir: s.runDir, LogDir: s.logDir, WorkDir: s.workDir,
		QueenURL: s.queenURL, Ports: s.ports.PortRange, Watch: s.watch, PassEnv: s.passEnv,
		StopGrace: s.stopGrace, Groups: s.groups, KeepLog: s.keepLog(), KeepExited: s.retention(),
	}, err
}

// keepLog returns how much of each log is kept.
func (s *settings) keepLog() logs.Policy {
	return logs.Policy{Segments: logSegments, SegmentSize: int64(s.logSize) << 20 / logSegments}
}

// retention returns which logs of workers that ended are kept.
func (s *settings) retention() logs.Retention {
	keep := logs.Retention{Files: s.keepExited, Age: s.keepFor}
	if keep.Files == 0 {
		keep.Age, keep.Files = time.Nanosecond, 1 // there 0 means the default
	}
	return keep
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkPassEnv refuses what is no name and the names that hold the hive's own settings and secrets.
func checkPassEnv(names []string) error {
	for _, name := range names {
		if !variableName.MatchString(name) {
			return fmt.Errorf("%q is no name of a variable", name)
		}
		if strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "RBEE_") {
			return fmt.Errorf("%s stays with the hive: NATS_… and RBEE_… hold its own settings and credentials", name)
		}
	}
	return nil
}

// portRange is the flag of a range of ports.
type portRange struct{ spawner.PortRange }

// Set reads "FIRST-LAST" or a single port.
func (p *portRange) Set(text string) error {
	ports, err := spawner.ParsePortRange(text)
	if err != nil {
		return errors.New("want FIRST-LAST with ports from 1 to 65535, such as 9001-9999")
	}
	p.PortRange = ports
	return nil
}

// Type returns what --help shows for the value.
func (p *portRange) Type() string { return "first-last" }

// queueMode is the flag that says whether queued jobs are taken.
type queueMode struct{ consumer.QueueMode }

// Set reads one of the modes.
func (q *queueMode) Set(text string) error {
	mode := consumer.QueueMode(text)
	if !slices.Contains(consumer.QueueModes, mode) {
		return errors.New("want auto, off or required")
	}
	q.QueueMode = mode
	return nil
}

// String returns the mode.
func (q *queueMode) String() string { return string(q.QueueMode) }

// Type returns what --help shows for the value.
func (q *queueMode) Type() string { return "mode" }

// hostLabel returns the first label of this machine's name, or "" if there is none.
func hostLabel() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	label, _, _ := strings.Cut(host, ".")
	return label
}

func cacheDir() string {
	home := cli.HomeDir()
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".cache", "rbee", "workers")
}

// runDir returns systemd's runtime directory, else the user's, else one in the directory for temporary files.
func runDir() string {
	if dir := systemdDir("RUNTIME_DIRECTORY"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "rbee-hive")
	}
	return filepath.Join(os.TempDir(), "rbee-hive-"+strconv.Itoa(os.Getuid()))
}

// logDir returns systemd's log directory, else the user's.
func logDir() string {
	if dir := systemdDir("LOGS_DIRECTORY"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "rbee", "logs")
	}
	if home := cli.HomeDir(); home != "" {
		return filepath.Join(home, ".local", "state", "rbee", "logs")
	}
	return filepath.Join(runDir(), "logs")
}

// systemdDir returns the first of the directories that systemd lists in a variable.
func systemdDir(variable string) string {
	dir, _, _ := strings.Cut(os.Getenv(variable), ":")
	return dir
}
