//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/internal/proctest"
)

// serverVariable makes the test binary a NATS server of its own, so that it can be killed: it holds a [natsd.Config].
const serverVariable = "RBEE_E2E_SERVER"

// playServer is a NATS server until this process is killed; it returns at once, and false, if this is no server.
func playServer() bool {
	text := os.Getenv(serverVariable)
	if text == "" {
		return false
	}
	var cfg natsd.Config
	err := json.Unmarshal([]byte(text), &cfg)
	if err == nil {
		_, err = natsd.Start(cfg)
	}
	if err != nil {
		fmt.Println("no server:", err)
		return true
	}
	fmt.Println("ready")
	select {}
}

// serverProcess is a NATS server in a process of its own.
type serverProcess struct {
	*proctest.Proc
	cfg natsd.Config
}

// startServer starts a server, which must listen on a port that cfg names, and does not wait for it.
func startServer(t *testing.T, cfg natsd.Config) *serverProcess {
	t.Helper()
	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serverVariable+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	hives.Lock()
	defer hives.Unlock()
	s := &serverProcess{Proc: proctest.StartCommand(t, cmd), cfg: cfg}
	if hives.pids == nil {
		hives.pids = make(map[int]bool)
	}
	hives.pids[s.PID()] = true // it is no worker
	t.Cleanup(s.Kill)
	return s
}

// Kill ends the server as a crash does, and returns when it has gone.
func (s *serverProcess) Kill() {
	s.Proc.Kill()
	hives.Lock()
	defer hives.Unlock()
	delete(hives.pids, s.PID())
}

// url returns where clients find the server.
func (s *serverProcess) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.cfg.Port) }

// cluster is three servers that keep streams together.
type cluster struct {
	t       *testing.T
	servers []*serverProcess
	js      jetstream.JetStream
}

// startCluster starts three servers on ports that nobody else takes while one of them is away.
func startCluster(t *testing.T, configFile string) *cluster {
	t.Helper()
	const size = 3
	first, _ := porttest.Lease(t, 2*size)
	c := &cluster{t: t}
	var routes []string
	for i := range size {
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", first+size+i))
	}
	for i := range size {
		c.servers = append(c.servers, startServer(t, natsd.Config{
			Name: fmt.Sprintf("nats-%d", i+1), Port: first + i, StoreDir: t.TempDir(), ConfigFile: configFile,
			Cluster: &natsd.Cluster{Name: "rbee", Port: first + size + i, Routes: routes},
		}))
	}
	for _, s := range c.servers {
		s.Await("^ready$")
	}
	return c
}

// url returns where clients find the cluster.
func (c *cluster) url() string {
	var urls []string
	for _, s := range c.servers {
		urls = append(urls, s.url())
	}
	return strings.Join(urls, ",")
}

// restart kills one of the servers, has during happen, and starts it again.
func (c *cluster) restart(i int, during func()) {
	c.t.Helper()
	c.servers[i].Kill()
	during()
	c.servers[i] = startServer(c.t, c.servers[i].cfg)
	c.servers[i].Await("^ready$")
}
