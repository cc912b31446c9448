package doctor

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

const deployed = "../../deploy/nats-server.conf"

func TestMain(m *testing.M) {
	for _, name := range []string{"QUEEN", "OBSERVER", "ADMIN", "HIVE_GPU_1", "HIVE_GPU_2"} {
		if err := os.Setenv(name+"_PASSWORD", "pw-"+name); err != nil {
			panic(err)
		}
	}
	leaktest.Main(m)
}

// newConfig returns the settings of a hive gpu-1 with an empty machine of its own and no server.
func newConfig(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	first, last := porttest.Lease(t, 49)
	return Config{
		HiveID: "gpu-1", NATS: natsconn.Config{Server: "nats://127.0.0.1:1"}, CatalogDir: filepath.Join(dir, "catalog"),
		RunDir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "logs"), WorkDir: dir, Timeout: time.Minute, Ports: process.PortRange{First: first, Last: last},
	}
}

// serveConfig starts a server from the text of a configuration.
func serveConfig(t *testing.T, conf string) *natsd.Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	server, err := natsd.Start(natsd.Config{ConfigFile: path})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	return server
}

// deployedWith returns nats-server.conf with the old text replaced by the new one in the block of the hive gpu-1, and a user
// "spy" who may do anything.
func deployedWith(t *testing.T, old, replacement string) string {
	t.Helper()
	data, err := os.ReadFile(deployed)
	require.NoError(t, err)
	conf := strings.Replace(string(data), "users = [", "users = [\n{ user: spy, password: spy, permissions { publish: \">\", subscribe: \">\" } }", 1)
	block := regexp.MustCompile(`(?s)      # hive gpu-1\n.*?      # end\n`).FindString(conf)
	require.NotEmpty(t, block)
	if old == "" {
		return conf
	}
	require.Equal(t, 1, strings.Count(block, old), "%s", block)
	return strings.Replace(conf, block, strings.Replace(block, old, replacement, 1), 1)
}

// asHive sets the server and the credentials of hive gpu-1 in nats-server.conf.
func (c Config) asHive(server *natsd.Server) Config {
	c.NATS = natsconn.Config{Server: server.URL(), User: "hive-gpu-1", Password: "pw-HIVE_GPU_1"}
	return c
}

// subjects returns the subjects below a prefix.
func subjects(t *testing.T, prefix string) messages.Subjects {
	t.Helper()
	s, err := messages.NewSubjects(prefix)
	require.NoError(t, err)
	return s
}

// install puts a shell script into the catalog of c.
func (c Config) install(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	entry := filepath.Join(c.CatalogDir, name+"-v1.0.0-"+runtime.GOOS)
	require.NoError(t, os.MkdirAll(entry, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(entry, name), []byte("#!/bin/sh\n"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(entry, name), mode))
}

// all returns what the report has under an area and a name.
func (r Report) all(area, name string) []Check {
	var found []Check
	for _, check := range r.Checks {
		if check.Area == area && check.Name == name {
			found = append(found, check)
		}
	}
	return found
}

// one returns the only line that the report has under an area and a name.
func (r Report) one(t *testing.T, area, name string) Check {
	t.Helper()
	found := r.all(area, name)
	require.Len(t, found, 1, "%s %s in %v", area, name, r.Checks)
	return found[0]
}

// only runs one probe as an area does, and returns its only line.
func only(t *testing.T, run func(context.Context) []Check) Check {
	t.Helper()
	found := examiner{Config: Config{Timeout: time.Minute}}.run(t.Context(), "area", probe{name: "name", run: run})
	require.Len(t, found, 1, "%v", found)
	return found[0]
}

// lines makes a probe of what was found.
func lines(found []Check) func(context.Context) []Check {
	return func(context.Context) []Check { return found }
}

// requireSound checks what holds for every report.
func requireSound(t *testing.T, r Report) {
	t.Helper()
	require.Equal(t, len(r.Checks), r.OK+r.Warnings+r.Failures)
	for _, check := range r.Checks {
		require.NotEmpty(t, check.Area, "%v", check)
		require.Regexp(t, `^[a-z_]+$`, check.Name, "%v", check)
		require.NotEmpty(t, check.Message, "%v", check)
		require.NotContains(t, check.Message+check.Advice, "\n", "%v", check)
		require.Equal(t, check.Status == OK, check.Advice == "", "%v", check)
	}
}

// fake puts a program into a directory that the PATH begins with: t must not be parallel.
func fake(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// write writes a file of a test and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
