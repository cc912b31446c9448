package deploy_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
)

// service is what these tests read of a service in compose.yaml.
type service struct {
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Init        bool              `yaml:"init"`
	Tmpfs       []string          `yaml:"tmpfs"`
	Volumes     []string          `yaml:"volumes"`
	Ports       []string          `yaml:"ports"`
	Networks    map[string]struct {
		Aliases []string `yaml:"aliases"`
	} `yaml:"networks"`
	StopGracePeriod string `yaml:"stop_grace_period"`
	Build           struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
}

func services(t *testing.T) map[string]service {
	t.Helper()
	return servicesOf(t, "compose.yaml")
}

func servicesOf(t *testing.T, file string) map[string]service {
	t.Helper()
	var compose struct {
		Services map[string]service `yaml:"services"`
		Volumes  map[string]any     `yaml:"volumes"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(readFile(t, file)), &compose))
	for name, s := range compose.Services {
		for _, volume := range s.Volumes {
			if source, _, _ := strings.Cut(volume, ":"); !strings.HasPrefix(source, ".") {
				require.Contains(t, compose.Volumes, source, name)
			}
		}
	}
	return compose.Services
}

func TestComposeHasAFleet(t *testing.T) {
	t.Parallel()
	all := services(t)
	require.Len(t, all, 5)
	for name, s := range all {
		for _, port := range s.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s is reachable from other machines: %s", name, port)
		}
		if name == "nats" {
			continue
		}
		require.Equal(t, "..", s.Build.Context, name)
		require.Equal(t, "deploy/Dockerfile", s.Build.Dockerfile, name)
		require.True(t, s.Init, "%s: nobody reaps orphans", name)
		require.Equal(t, "nats://nats:4222", s.Environment["NATS_URL"], name)
		if name != "streams" {
			require.Equal(t, "http://queen:8500", s.Environment["RBEE_QUEEN_URL"], name)
		}
	}
	require.Equal(t, []string{"rbee", "streams", "apply"}, all["streams"].Command)
	require.Equal(t, []string{"rbee", "queen", "--listen", "0.0.0.0:8500"}, all["queen"].Command)
	require.Contains(t, all["nats"].Volumes, "./nats-server.conf:/etc/nats/nats-server.conf:ro")
}

func TestComposeGivesEachItsPasswordAndNatsAll(t *testing.T) {
	t.Parallel()
	all, variables := services(t), passwordVariables()
	for role, variable := range variables {
		want := "${" + variable + ":?set it in deploy/.env}"
		require.Equal(t, want, all["nats"].Environment[variable])
		name := role
		switch role {
		case observer:
			continue
		case admin:
			name = "streams"
		}
		require.Equal(t, role, all[name].Environment["NATS_USER"])
		require.Equal(t, want, all[name].Environment["NATS_PASSWORD"])
	}
	require.Len(t, all["nats"].Environment, len(variables))
}

func TestComposeHivesDrainAndKeepTheirLocksOnATmpfs(t *testing.T) {
	t.Parallel()
	runDir := regexp.MustCompile(`RBEE_RUN_DIR=(\S+)`).FindStringSubmatch(readFile(t, "Dockerfile"))[1]
	for _, role := range []string{hive1, hive2} {
		s := services(t)[role]
		require.Equal(t, role, "hive-"+s.Environment["RBEE_HIVE_ID"])
		require.Equal(t, []string{runDir + ":uid=10001,gid=10001,mode=0700"}, s.Tmpfs)
		grace, err := time.ParseDuration(s.StopGracePeriod)
		require.NoError(t, err)
		require.Greater(t, grace, 30*time.Second)
	}
}

func TestDockerfileShipsTheThreeProgramsAndNoRoot(t *testing.T) {
	t.Parallel()
	text := readFile(t, "Dockerfile")
	stages := strings.Split(text, "\nFROM ")
	require.Len(t, stages, 3, "arguments, build, final")
	build, final := stages[1], stages[2]
	for _, part := range []string{"CGO_ENABLED=0", "-trimpath", "./cmd/rbee ", "./cmd/rbee-hive", "./cmd/llm-worker"} {
		require.Contains(t, build, part)
	}
	require.Contains(t, build, "workers/cpu-llm-worker-rbee-v${VERSION}-linux/cpu-llm-worker-rbee")
	require.Contains(t, final, "/out/rbee /out/rbee-hive /usr/local/bin/")
	require.Contains(t, final, "/out/workers /opt/rbee/workers")
	require.Regexp(t, `(?m)^USER 10001:10001$`, final)
	require.Less(t, strings.LastIndex(final, "\nRUN"), strings.Index(final, "\nUSER"), "nothing is set up after root is gone")
}
