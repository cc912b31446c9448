package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

// roleFiles are the roles of jwt/, of which "hive" is a template for any hive.
var roleFiles = []string{"admin", "hive", "observer", "queen"}

// role is what a file of jwt/ allows.
type role struct {
	publish, subscribe []string
	answers            int
	within             time.Duration
}

// readRole reads jwt/NAME.role. It fails the test on a line that means nothing.
func readRole(t *testing.T, name string) role {
	t.Helper()
	var r role
	for line := range strings.Lines(readFile(t, filepath.Join("jwt", name+".role"))) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case len(words) == 2 && words[0] == "publish":
			r.publish = append(r.publish, words[1])
		case len(words) == 2 && words[0] == "subscribe":
			r.subscribe = append(r.subscribe, words[1])
		case len(words) == 3 && words[0] == "answer":
			var err error
			r.answers, err = strconv.Atoi(words[1])
			require.NoError(t, err)
			r.within, err = time.ParseDuration(words[2])
			require.NoError(t, err)
		default:
			t.Fatalf("jwt/%s.role: what is %q?", name, line)
		}
	}
	return r
}

// startOperator runs a server with an operator and one account, whose roles are those of jwt/.
func startOperator(t *testing.T) *broker {
	t.Helper()
	operator, account := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(public(t, account))
	claims.Name = "RBEE"
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	signers := map[string]nkeys.KeyPair{}
	for _, name := range roleFiles {
		r, scope := readRole(t, name), jwt.NewUserScope()
		signers[name] = newKey(t, nkeys.CreateAccount)
		scope.Key, scope.Role = public(t, signers[name]), name
		scope.Template.Pub.Allow, scope.Template.Sub.Allow = r.publish, r.subscribe
		if r.answers > 0 {
			scope.Template.Resp = &jwt.ResponsePermission{MaxMsgs: r.answers, Expires: r.within}
		}
		claims.SigningKeys.AddScopedSigner(scope)
	}
	accountJWT, err := claims.Encode(operator)
	require.NoError(t, err)
	system := jwt.NewAccountClaims(public(t, newKey(t, nkeys.CreateAccount)))
	system.Name = "SYS"
	systemJWT, err := system.Encode(operator)
	require.NoError(t, err)
	top := jwt.NewOperatorClaims(public(t, operator))
	top.Name, top.SystemAccount = "rbee", system.Subject
	operatorJWT, err := top.Encode(operator)
	require.NoError(t, err)

	conf := fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\njetstream: {}\n",
		operatorJWT, claims.Subject, accountJWT, system.Subject, systemJWT)
	login := func(who string) nats.Option {
		name, signer := who, who
		if id, hive := strings.CutPrefix(who, "hive-"); hive {
			name, signer = id, "hive"
		}
		return user(t, name, public(t, account), signers[signer])
	}
	return &broker{Server: run(t, writeFile(t, "nats-server.conf", conf)), login: login, template: true}
}

// user logs in a user of an account, whose permissions are those of the key that signed it.
func user(t *testing.T, name, account string, signer nkeys.KeyPair) nats.Option {
	t.Helper()
	key := newKey(t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(t, key))
	claims.Name, claims.IssuerAccount = name, account
	claims.SetScoped(true)
	token, err := claims.Encode(signer)
	require.NoError(t, err)
	seed, err := key.Seed()
	require.NoError(t, err)
	return nats.UserJWTAndSeed(token, string(seed))
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	require.NoError(t, err)
	return key
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	text, err := key.PublicKey()
	require.NoError(t, err)
	return text
}

// The two ways say the same, word for word, but for the queue group of a hive's jobs.
func TestRolesAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	opts, err := server.ProcessConfigFile("nats-server.conf")
	require.NoError(t, err)
	require.Len(t, opts.Users, len(roles))
	for _, u := range opts.Users {
		name, id := u.Username, ""
		if hive, is := strings.CutPrefix(name, "hive-"); is {
			name, id = "hive", hive
		}
		r := readRole(t, name)
		fill := func(lines []string) []string {
			lines = slices.Clone(lines)
			for i := range lines {
				lines[i] = strings.ReplaceAll(lines[i], "{{name()}}", id)
			}
			return lines
		}
		subscribe := fill(r.subscribe)
		if id != "" {
			own := slices.Index(subscribe, "rbee.v1.hive."+id+".*")
			require.GreaterOrEqual(t, own, 0)
			subscribe[own] += " " + id
			require.Equal(t, &server.ResponsePermission{MaxMsgs: r.answers, Expires: r.within}, u.Permissions.Response)
		} else {
			require.Zero(t, r.answers)
			require.Nil(t, u.Permissions.Response)
		}
		require.ElementsMatch(t, u.Permissions.Publish.Allow, fill(r.publish), u.Username)
		require.ElementsMatch(t, u.Permissions.Subscribe.Allow, subscribe, u.Username)
		require.Empty(t, slices.Concat(u.Permissions.Publish.Deny, u.Permissions.Subscribe.Deny))
	}
}

// The script says to nsc what the files say. A stand-in for nsc notes what it is asked: the real one is not needed here.
func TestTheScriptMakesTheRoles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	stub := "#!/bin/sh\nprintf '%s\\n' \"$@\" '---' >>" + asked + `
case $2 in account) echo '[ OK ] added signing key "A` + strings.Repeat("B", 55) + `"' >&2 ;; esac
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nsc"), []byte(stub), 0o755))
	script, err := filepath.Abs(filepath.Join("jwt", "signing-keys"))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), script, "FLEET")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))

	calls := strings.Split(strings.TrimSuffix(readFile(t, asked), "---\n"), "---\n")
	require.Len(t, calls, 2*len(roleFiles))
	for i, name := range roleFiles {
		r := readRole(t, name)
		require.Equal(t, "edit account --name FLEET --sk generate", strings.Join(strings.Fields(calls[2*i]), " "))
		want := []string{
			"edit", "signing-key", "--account", "FLEET", "--sk", "A" + strings.Repeat("B", 55), "--role", name,
			"--allow-pub", strings.Join(r.publish, ","), "--allow-sub", strings.Join(r.subscribe, ","),
		}
		if r.answers > 0 {
			want = append(want, fmt.Sprintf("--allow-pub-response=%d", r.answers), "--response-ttl", "1h")
			require.Equal(t, time.Hour, r.within)
		}
		require.Equal(t, want, strings.Split(strings.TrimSpace(calls[2*i+1]), "\n"))
	}

	cmd = exec.CommandContext(t.Context(), script)
	said, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), "usage: signing-keys ACCOUNT")
}
