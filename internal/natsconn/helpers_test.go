package natsconn

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

// guardedServer starts a server that knows alice, whose password is "right", and the NKey in the file seed.
func guardedServer(t *testing.T) (server, seed string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	secret, err := pair.Seed()
	require.NoError(t, err)
	conf := write(t, "nats.conf", fmt.Sprintf(`authorization { users: [{user: alice, password: right}, {nkey: %s}] }`, public))
	return serve(t, natsd.Config{ConfigFile: conf}).URL(), write(t, "seed.nk", string(secret))
}

func serve(t *testing.T, cfg natsd.Config) *natsd.Server {
	t.Helper()
	return natstest.Start(t, cfg)
}

func withUser(server, user, password string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
