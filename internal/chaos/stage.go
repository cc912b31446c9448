//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/netfault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

const (
	hiveID = "gpu-1"
	// ackWait is how long the server waits to hear of a job until it gives it out again. A hive says every third of it that it is at
	// work. In a fleet it is 30 s.
	ackWait = 500 * time.Millisecond
	// attempts is how often a job is given out at most: more often than a round can burn.
	attempts = 30
	// patience is how long a round waits for what must come.
	patience = 40 * time.Second
)

// stage is all that one round needs: a server with its streams, the machine of one hive, and a queen.
type stage struct {
	programs programs
	dir      string
	ports    ports
	watch    time.Duration
	maxJobs  int
	env      []string // of every hive

	server *party
	hives  []*party
	nc     *nats.Conn
	js     jetstream.JetStream
	queen  *queen.Client

	network  *netfault.Proxy // between the hives and the server; nil if they are as close as can be
	attempts int             // how often a job is given out at most
	edits    *edits          // of the source that hives build; nil if they build nothing
	silent   bool            // a hive was not heard of for a while, and lived
	squats   []net.Listener  // of ports that workers have or want

	mu     sync.Mutex
	told   map[string]messages.Result // what who asked for a job was told, by job
	places map[string]uint64          // of the jobs in the queue
	deaths []death
	lost   time.Time // when the machine of the hive was lost; zero if it was not
}

// programs are the paths of what is started.
type programs struct {
	self, hive, worker string
}

// death is when a party was killed or stopped.
type death struct {
	server bool
	at     time.Time
}

// setUp makes a stage in a new directory below parent and starts its server.
func setUp(ctx context.Context, programs programs, parent string) (*stage, error) {
	dir, err := os.MkdirTemp(parent, "round-")
	if err != nil {
		return nil, err
	}
	st := &stage{programs: programs, dir: dir, watch: 250 * time.Millisecond, maxJobs: 8, attempts: attempts, told: map[string]messages.Result{}, places: map[string]uint64{}}
	if st.ports, err = leasePorts(); err != nil {
		return nil, err
	}
	entry := filepath.Join(dir, "catalog", "cpu-llm-worker-rbee-v0.1.0-linux")
	err = errors.Join(os.MkdirAll(entry, 0o755), os.Mkdir(st.path("log"), 0o700), os.MkdirAll(st.path("work/alive"), 0o700))
	if err == nil {
		err = os.Link(programs.worker, filepath.Join(entry, "cpu-llm-worker-rbee"))
	}
	if err == nil {
		err = st.startServer(ctx)
	}
	if err == nil {
		err = st.connect(ctx)
	}
	if err != nil {
		st.tearDown()
		return nil, err
	}
	return st, nil
}

func (st *stage) path(name string) string { return filepath.Join(st.dir, name) }

// tearDown ends everything that the stage started. The directory stays.
func (st *stage) tearDown() {
	for _, h := range st.hives {
		h.kill()
	}
	bury(st.dir, st.programs.hive)
	if st.nc != nil {
		st.nc.Close()
	}
	if st.network != nil {
		st.network.Close()
	}
	for _, squat := range st.squats {
		_ = squat.Close()
	}
	if st.server != nil {
		st.server.kill()
	}
	if st.ports.lease != nil {
		_ = st.ports.lease.Close()
	}
}

// startServer starts the server, or starts it again on what it has written.
func (st *stage) startServer(ctx context.Context) error {
	cmd := exec.Command(st.programs.self, "server", strconv.Itoa(st.ports.server), st.path("store"))
	cmd.Dir = "/"
	var err error
	if st.server, err = enlist(cmd, st.path("server.out")); err != nil {
		return err
	}
	return await(ctx, "server takes connections", patience, func() bool {
		conn, err := net.DialTimeout("tcp", st.address(), time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil || !st.server.runs()
	})
}

func (st *stage) address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(st.ports.server))
}

// playServer is the server's process: it runs until it is killed.
func playServer(args []string) error {
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if _, err := natsd.Start(natsd.Config{Port: port, StoreDir: args[1]}); err != nil {
		return err
	}
	select {}
}

// killServer ends the server as a crash does.
func (st *stage) killServer() {
	st.server.kill()
	st.died(true)
}

// connect makes the streams as `rbee streams apply` does, and the hive's consumer as an administrator does who wants a job of a dead
// hive to come again soon.
func (st *stage) connect(ctx context.Context) error {
	var err error
	st.nc, err = nats.Connect("nats://"+st.address(), nats.Name("chaos"), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(20*time.Millisecond, 0))
	if err != nil {
		return err
	}
	if st.js, err = jetstream.New(st.nc); err != nil {
		return err
	}
	st.queen = queen.New(st.nc, queen.Config{})
	if _, err := st.queen.Apply(ctx, queen.StreamsConfig{}, false); err != nil {
		return err
	}
	return st.makeConsumer(ctx)
}

func (st *stage) makeConsumer(ctx context.Context) error {
	names := messages.Subjects{}.Streams()
	_, err := st.js.CreateOrUpdateConsumer(ctx, names.Jobs, jetstream.ConsumerConfig{
		Durable: names.Consumer(hiveID), FilterSubject: names.HiveJobs(hiveID), AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: st.attempts,
	})
	return err
}

// startHive starts a process of the hive, struck as fault says, with variables that come before the usual ones.
func (st *stage) startHive(fault string, env ...string) (*party, error) {
	cmd := exec.Command(st.programs.hive, "serve")
	cmd.Dir = "/"
	url := "nats://" + st.address()
	if st.network != nil {
		url = "nats://" + st.network.Addr()
	}
	env = append(env, st.env...)
	cmd.Env = append([]string{
		"PATH=" + st.path("bin") + ":" + os.Getenv("PATH"), "HOME=" + st.dir, "NATS_URL=" + url, "RBEE_HIVE_ID=" + hiveID, "RBEE_QUEUE=auto",
		"RBEE_CATALOG_DIR=" + st.path("catalog"), "RBEE_RUN_DIR=" + st.path("run"), "RBEE_LOG_DIR=" + st.path("log"), "RBEE_WORK_DIR=" + st.path("work"),
		fmt.Sprintf("RBEE_PORT_RANGE=%d-%d", st.ports.first, st.ports.last), "RBEE_WATCH=" + st.watch.String(),
		"RBEE_MAX_JOBS=" + strconv.Itoa(st.maxJobs), "RBEE_LOG_FORMAT=json", "RBEE_LOG_LEVEL=debug", "RBEE_FAULT=" + fault,
	}, env...)
	h, err := enlist(cmd, st.path(fmt.Sprintf("hive-%d.out", len(st.hives))))
	if err == nil {
		st.hives = append(st.hives, h)
	}
	return h, err
}

const readyLine = " ready: "

// serve starts a process of the hive that nothing strikes, and returns when it takes jobs.
func (st *stage) serve(ctx context.Context) (*party, error) {
	h, err := st.startHive("")
	if err == nil {
		err = st.awaitReady(ctx, h)
	}
	return h, err
}

func (st *stage) awaitReady(ctx context.Context, h *party) error {
	err := await(ctx, "hive is ready", patience, func() bool { return h.says(readyLine) || !h.runs() })
	if err == nil && !h.runs() {
		err = fmt.Errorf("%w: a hive, before it was ready: %s", errUnexpected, h.said)
	}
	return err
}

// killHive ends a process of the hive as a crash does.
func (st *stage) killHive(h *party) {
	h.kill()
	st.died(false)
}

// endHive has a process of the hive end as its supervisor does, and returns when it has.
func (st *stage) endHive(ctx context.Context, h *party) error {
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	if err := await(ctx, "a hive that is told to end has", patience, func() bool { return !h.runs() }); err != nil {
		return err
	}
	if code := h.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%w: a hive that was told to end, with code %d: %s", errUnexpected, code, h.said)
	}
	return nil
}

// loseMachine ends all that a restart of the hive's machine ends, and leaves what it leaves. The hive must have ended.
func (st *stage) loseMachine() error {
	bury(st.path("work"), st.programs.hive)
	st.lost = time.Now()
	return os.RemoveAll(st.path("run"))
}

// died writes down that a party has just died.
func (st *stage) died(server bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.deaths = append(st.deaths, death{server: server, at: time.Now()})
}

// stopped reports whether the process stands still.
func stopped(h *party) bool {
	return state(h.pid()) == 'T'
}

// goOn lets a process that stands still go on.
func goOn(h *party) { _ = h.cmd.Process.Signal(syscall.SIGCONT) }
