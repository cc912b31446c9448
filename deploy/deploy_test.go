// Package deploy_test holds the files of this directory to what their README says: the NATS permissions against a server
// that runs them, the unit against systemd's own checker, the container files against their syntax.
package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

// The users of nats-server.conf.
const (
	queen    = "queen"
	observer = "observer"
	hive1    = "hive-gpu-1"
	hive2    = "hive-gpu-2"
	admin    = "admin"
)

var roles = []string{queen, observer, hive1, hive2, admin}

// credentials finds each user of nats-server.conf and the variable of its password.
var credentials = regexp.MustCompile(`user: ([\w-]+), password: \$(\w+)`)

func TestMain(m *testing.M) {
	for role, variable := range passwordVariables() {
		if err := os.Setenv(variable, password(role)); err != nil {
			panic(err)
		}
	}
	// The servers of a cluster, in the form in which compose.cluster.yaml gives them.
	for name, value := range map[string]string{
		"ROUTE_PASSWORD": password("route"), "ROUTE_1": "nats://route:secret-of-route@nats-1:6222",
		"ROUTE_2": "nats://route:secret-of-route@nats-2:6222", "ROUTE_3": "nats://route:secret-of-route@nats-3:6222",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	leaktest.Main(m)
}

// broker is a server that runs one of the two ways in which a fleet is deployed.
type broker struct {
	*natsd.Server
	login    func(role string) nats.Option
	template bool // hives have a template, which cannot name their queue group
}

// brokers start each of the two: users with passwords, and accounts with an operator. What a user may do is the same.
var brokers = map[string]func(*testing.T) *broker{"passwords": startServer, "operator": startOperator}

// startServer runs nats-server.conf as it is, but on a free port of this machine.
func startServer(t *testing.T) *broker {
	t.Helper()
	return startConfig(t, "nats-server.conf")
}

func startConfig(t *testing.T, path string) *broker {
	t.Helper()
	return withPasswords(run(t, path))
}

func withPasswords(srv *natsd.Server) *broker {
	return &broker{Server: srv, login: func(role string) nats.Option { return nats.UserInfo(role, password(role)) }}
}

func run(t *testing.T, path string) *natsd.Server {
	t.Helper()
	srv, err := natsd.Start(natsd.Config{ConfigFile: path, StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(srv.Shutdown)
	return srv
}

// dial connects as role, as the programs do: with an inbox prefix of its own.
func dial(t *testing.T, srv *broker, role string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append([]nats.Option{
		srv.login(role),
		nats.CustomInboxPrefix("_INBOX_" + role),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // refusal reads the error; say nothing of it
	}, opts...)
	return natstest.Dial(t, srv.URL(), opts...)
}

// refusal says whether the server has refused anything that nc asked of it since nc was opened. The server answers in
// order and puts its refusal before the answer to a flush, so nothing has to be waited for.
func refusal(t *testing.T, nc *nats.Conn) bool {
	t.Helper()
	require.NoError(t, nc.Flush())
	err := nc.LastError()
	if err != nil {
		require.ErrorIs(t, err, nats.ErrPermissionViolation)
	}
	return err != nil
}

func password(role string) string { return "secret-of-" + role }

// passwordVariables returns the password variable of each user in nats-server.conf.
func passwordVariables() map[string]string {
	conf, err := os.ReadFile("nats-server.conf")
	if err != nil {
		panic(err)
	}
	variables := map[string]string{}
	for _, match := range credentials.FindAllStringSubmatch(string(conf), -1) {
		variables[match[1]] = match[2]
	}
	return variables
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestEachUserHasAPasswordOfItsOwn(t *testing.T) {
	t.Parallel()
	variables := passwordVariables()
	require.Equal(t, map[string]string{
		queen: "QUEEN_PASSWORD", observer: "OBSERVER_PASSWORD", admin: "ADMIN_PASSWORD",
		hive1: "HIVE_GPU_1_PASSWORD", hive2: "HIVE_GPU_2_PASSWORD",
	}, variables)

	srv := startServer(t)
	for _, role := range roles {
		for _, other := range roles {
			nc, err := nats.Connect(srv.URL(), nats.UserInfo(role, password(other)), nats.Timeout(time.Minute))
			if role == other {
				require.NoError(t, err)
				nc.Close()
				continue
			}
			require.ErrorIs(t, err, nats.ErrAuthorization, "%s with the password of %s", role, other)
		}
	}
	_, err := nats.Connect(srv.URL(), nats.Timeout(time.Minute))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestServerDoesNotStartWithoutAPassword(t *testing.T) {
	t.Parallel()
	conf := strings.ReplaceAll(readFile(t, "nats-server.conf"), "$HIVE_GPU_2_PASSWORD", "$HIVE_GPU_3_PASSWORD")
	_, err := natsd.Start(natsd.Config{ConfigFile: writeFile(t, "nats-server.conf", conf)})
	require.ErrorContains(t, err, "HIVE_GPU_3_PASSWORD")
}

func TestPasswordsMayComeFromAFile(t *testing.T) {
	t.Parallel()
	conf := readFile(t, "nats-server.conf")
	file := "other_QUEEN_PASSWORD: \"0 of 1, in quotes\"\n"
	conf = strings.ReplaceAll(conf, "$QUEEN_PASSWORD", "$other_QUEEN_PASSWORD") // no such variable in the environment
	conf = "include \"passwords.conf\"\n" + conf
	path := writeFile(t, "nats-server.conf", conf)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "passwords.conf"), []byte(file), 0o600))

	srv := startConfig(t, path)
	natstest.Dial(t, srv.URL(), nats.UserInfo(queen, "0 of 1, in quotes"))
	dial(t, srv, hive1)
}

func TestAddingAHiveIsCopyAndReplace(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile(`(?s)      # hive ([\w-]+)\n.*?      # end\n`).FindAllStringSubmatch(readFile(t, "nats-server.conf"), -1)
	require.Len(t, blocks, 2)
	rename := func(block, id string) string {
		return strings.NewReplacer("gpu-1", id, "GPU_1", strings.ToUpper(strings.ReplaceAll(id, "-", "_"))).Replace(block)
	}
	require.Equal(t, blocks[1][0], rename(blocks[0][0], "gpu-2"))

	t.Log("and a third one, added that way, works")
	added := rename(blocks[0][0], "gpu-3")
	added = strings.ReplaceAll(added, "$HIVE_GPU_3_PASSWORD", password("hive-gpu-3"))
	conf := strings.Replace(readFile(t, "nats-server.conf"), blocks[0][0], blocks[0][0]+added, 1)
	srv := startConfig(t, writeFile(t, "nats-server.conf", conf))
	nc := dial(t, srv, "hive-gpu-3")
	_, err := nc.QueueSubscribeSync("rbee.v1.hive.gpu-3.*", "gpu-3")
	require.NoError(t, err)
	require.False(t, refusal(t, nc))
	_, err = nc.QueueSubscribeSync("rbee.v1.hive.gpu-1.*", "gpu-1")
	require.NoError(t, err)
	require.True(t, refusal(t, nc))
}

func TestUserWithoutPermissionsMayDoNothing(t *testing.T) {
	t.Parallel()
	conf := strings.Replace(readFile(t, "nats-server.conf"), "users = [", "users = [\n{ user: forgotten, password: secret-of-forgotten }", 1)
	srv := startConfig(t, writeFile(t, "nats-server.conf", conf))

	nc := dial(t, srv, "forgotten")
	require.NoError(t, nc.Publish("anything", nil))
	require.True(t, refusal(t, nc))

	nc = dial(t, srv, "forgotten")
	_, err := nc.SubscribeSync("anything")
	require.NoError(t, err)
	require.True(t, refusal(t, nc))
}
