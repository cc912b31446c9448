package natsconn

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg  Config
		want string // empty: valid
	}{
		"nothing at all":           {},
		"a host alone":             {cfg: Config{Server: "queen.example:4222"}},
		"several servers":          {cfg: Config{Server: "nats://a, tls://b:1 ,ws://c"}},
		"a password in the URL":    {cfg: Config{Server: "nats://u:p@a"}},
		"user and password":        {cfg: Config{User: "u", Password: "p"}},
		"a context and a server":   {cfg: Config{Context: "prod", Server: "nats://a"}},
		"not a URL":                {Config{Server: "nats://u:secret@a b"}, "--server: URL 1 cannot be read: write it like nats://127.0.0.1:4222"},
		"another scheme":           {Config{Server: "nats://a,http://u:secret@b"}, "--server: URL 2 cannot be read"},
		"no host":                  {Config{Server: "nats://"}, "--server: URL 1 cannot be read"},
		"two kinds of credentials": {Config{Creds: "f", Token: "secret"}, "--creds and --token exclude each other"},
		"a context and a user":     {Config{Context: "prod", User: "u", Password: "secret"}, "--context and --user exclude each other"},
		"a password alone":         {Config{Password: "secret"}, "--password is given without --user"},
		"a certificate alone":      {Config{TLSCert: "f"}, "--tls-cert and --tls-key belong together"},
		"a ping now and then":      {cfg: Config{PingInterval: time.Second}},
		"pings without end":        {Config{PingInterval: time.Millisecond}, "--ping-interval: is 1ms; use 100ms or more"},
		"a ping in the past":       {Config{PingInterval: -time.Second}, "--ping-interval"},
		"a wild inbox":             {Config{InboxPrefix: "_INBOX.>"}, "--inbox-prefix"},
		"a key alone":              {Config{TLSKey: "f"}, "--tls-cert and --tls-key belong together"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.cfg.Validate()
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestConfigSaysWhereWithoutSecrets(t *testing.T) {
	t.Parallel()
	require.Equal(t, DefaultServer, Config{}.String())
	require.Equal(t, "nats://a:1, tls://b", Config{Server: "u:p@a:1,tls://token@b"}.String())
	require.Equal(t, "the servers of context prod", Config{Context: "prod"}.String())
	require.Equal(t, "nats://a", Config{Context: "prod", Server: "nats://a"}.String())
}

func TestInboxPrefix(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg       Config
		own, want string
	}{
		"nothing":             {},
		"the program's":       {own: "_INBOX_hive-a", want: "_INBOX_hive-a"},
		"the user's":          {cfg: Config{User: "queen", Password: "p"}, want: "_INBOX_queen"},
		"the user in the URL": {cfg: Config{Server: "nats://queen:p@a"}, want: "_INBOX_queen"},
		"a token in the URL":  {cfg: Config{Server: "nats://token@a"}},
		"a user with a dot":   {cfg: Config{User: "queen@example.com", Password: "p"}},
		"the program first":   {cfg: Config{User: "x"}, own: "_INBOX_hive-a", want: "_INBOX_hive-a"},
		"the setting first":   {cfg: Config{User: "x", InboxPrefix: "_INBOX"}, own: "_INBOX_hive-a", want: "_INBOX"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, test.cfg.inbox(test.own))
		})
	}
}

func TestHideUserinfo(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`dial nats://u:p@a:4222: refused`:       `dial nats://a:4222: refused`,
		`parse "nats://tok@a" and tls://x:y@b/`: `parse "nats://a" and tls://b/`,
		`mail to a@b about nats://c`:            `mail to a@b about nats://c`,
		`nats://a:4222/path@4`:                  `nats://a:4222/path@4`,
	}
	for text, want := range tests {
		require.Equal(t, want, hideUserinfo(text))
	}
}

func TestEveryFlagHasAVariable(t *testing.T) {
	t.Parallel()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	var cfg Config
	cfg.AddFlags(fs)
	fs.VisitAll(func(flag *pflag.Flag) { require.NotEmpty(t, Variables[flag.Name], flag.Name) })
	for name := range Variables {
		require.NotNil(t, fs.Lookup(name), name)
	}
	require.NoError(t, fs.Parse([]string{
		"--server=a", "--creds=b", "--nkey=c", "--user=d", "--password=e", "--token=f", "--tls-ca=g", "--tls-cert=h", "--tls-key=i", "--context=j", "--inbox-prefix=k",
		"--ping-interval=5s",
	}))
	want := Config{Server: "a", Creds: "b", NKey: "c", User: "d", Password: "e", Token: "f", TLSCA: "g", TLSCert: "h", TLSKey: "i", Context: "j", InboxPrefix: "k", PingInterval: 5 * time.Second}
	require.Equal(t, want, cfg)
}
