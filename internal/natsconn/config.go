// Package natsconn is how our programs connect to NATS: the settings they share, and what they say while the server is
// away, refuses them or comes back.
package natsconn

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"
)

// DefaultServer is the server of a [Config] that names none.
const DefaultServer = "nats://127.0.0.1:4222"

// DefaultPingInterval is the interval of a [Config] that names none: a network that swallows everything is noticed within a minute.
const DefaultPingInterval = 20 * time.Second

// Config says which server to connect to and as whom. The zero value means [DefaultServer] without credentials.
type Config struct {
	// Server is one URL or several of one cluster, joined by commas; empty means the context's, else [DefaultServer].
	Server string
	// Creds is a credentials file with a JWT and its key (nsc, NGS).
	Creds string
	// NKey is a file with an NKey seed.
	NKey string
	// User and Password are plain credentials.
	User, Password string
	// Token is a plain token.
	Token string
	// TLSCA is a file with the certificates that vouch for the server; empty means the system's.
	TLSCA string
	// TLSCert and TLSKey are the files with this program's own certificate and its key.
	TLSCert, TLSKey string
	// Context names a context of the nats command line, or is an absolute path of one; empty means none. It gives the
	// server and the credentials.
	Context string
	// InboxPrefix begins the subjects on which answers arrive, so that a user's permissions can name them and nobody else
	// can read them. Empty means "_INBOX_" and the user's name if there is a plain one, else the context's, else "_INBOX".
	InboxPrefix string
	// PingInterval is how long the server may be silent until it is asked whether it is there; a connection on which nothing came
	// for three times as long counts as lost. 0 means [DefaultPingInterval].
	PingInterval time.Duration
}

// Variables names the environment variable of each flag that [Config.AddFlags] adds.
var Variables = map[string]string{
	"server": "NATS_URL", "creds": "NATS_CREDS", "nkey": "NATS_NKEY", "user": "NATS_USER", "password": "NATS_PASSWORD",
	"token": "NATS_TOKEN", "tls-ca": "NATS_CA", "tls-cert": "NATS_CERT", "tls-key": "NATS_KEY", "context": "NATS_CONTEXT",
	"inbox-prefix": "NATS_INBOX_PREFIX", "ping-interval": "NATS_PING_INTERVAL",
}

// AddFlags adds a flag for each field of c to fs.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Server, "server", "", "`URL` of the NATS server, or several of one cluster joined by commas (default "+DefaultServer+")")
	fs.StringVar(&c.Creds, "creds", "", "credentials `file` (JWT and key)")
	fs.StringVar(&c.NKey, "nkey", "", "`file` with an NKey seed")
	fs.StringVar(&c.User, "user", "", "user `name`")
	fs.StringVar(&c.Password, "password", "", "the user's `password`; prefer the variable: every user of this machine can read arguments")
	fs.StringVar(&c.Token, "token", "", "authentication `token`; prefer the variable")
	fs.StringVar(&c.TLSCA, "tls-ca", "", "`file` with the certificates that vouch for the server")
	fs.StringVar(&c.TLSCert, "tls-cert", "", "`file` with this program's certificate")
	fs.StringVar(&c.TLSKey, "tls-key", "", "`file` with that certificate's key")
	fs.StringVar(&c.Context, "context", "", "`name` of a context of the nats command line, which gives server and credentials")
	fs.StringVar(&c.InboxPrefix, "inbox-prefix", "", "`words` that the subjects of answers begin with (default _INBOX_ and the user's name, if there is one, else _INBOX)")
	fs.DurationVar(&c.PingInterval, "ping-interval", DefaultPingInterval, "how long the server may be silent until it is asked whether it is there; it counts as away after three times as long")
}

// Validate returns an error that says what to change if the settings contradict each other or a server's URL cannot be
// read. It looks at no file and connects to nothing. No password is ever in its text.
func (c Config) Validate() error {
	if given := c.credentials(); len(given) > 1 {
		return fmt.Errorf("%s exclude each other: give one, or put all into a context", strings.Join(given, " and "))
	}
	if c.Password != "" && c.User == "" {
		return errors.New("--password is given without --user: give both")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together: give both")
	}
	if c.PingInterval < 0 || c.PingInterval > 0 && c.PingInterval < leastPingInterval {
		return fmt.Errorf("--ping-interval: is %s; use %s or more", c.PingInterval, leastPingInterval)
	}
	if c.InboxPrefix != "" && !inboxPattern.MatchString(c.InboxPrefix) {
		return fmt.Errorf("--inbox-prefix %q: use words of letters, digits, '_' or '-', joined by dots", c.InboxPrefix)
	}
	if c.Context != "" && c.Server == "" {
		return nil
	}
	for i, server := range c.servers() {
		u, err := url.Parse(withScheme(server))
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("--server: URL %d cannot be read: write it like %s", i+1, DefaultServer)
		}
	}
	return nil
}

// leastPingInterval leaves a busy machine time to answer.
const leastPingInterval = 100 * time.Millisecond

// An inbox prefix, and a user's name that can stand in one.
var (
	inboxPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	userPattern  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// inbox returns the inbox prefix; own is the one that the program asks for. Empty means what the context or the client
// library has.
func (c Config) inbox(own string) string {
	user := c.User
	if u, err := url.Parse(withScheme(c.servers()[0])); user == "" && err == nil && u.User != nil {
		if _, plain := u.User.Password(); plain { // alone it is a token
			user = u.User.Username()
		}
	}
	switch {
	case c.InboxPrefix != "":
		return c.InboxPrefix
	case own != "":
		return own
	case userPattern.MatchString(user):
		return "_INBOX_" + user
	}
	return ""
}

// credentials lists the flags that each say who this program is; a context may say it, too.
func (c Config) credentials() []string {
	var given []string
	for _, setting := range []struct{ flag, value string }{
		{"--context", c.Context},
		{"--creds", c.Creds},
		{"--nkey", c.NKey},
		{"--user", c.User},
		{"--token", c.Token},
	} {
		if setting.value != "" {
			given = append(given, setting.flag)
		}
	}
	return given
}

// servers returns the URLs, at least one.
func (c Config) servers() []string {
	var urls []string
	for server := range strings.SplitSeq(c.Server, ",") {
		if server = strings.TrimSpace(server); server != "" {
			urls = append(urls, server)
		}
	}
	if urls == nil {
		return []string{DefaultServer}
	}
	return urls
}

// String says where c connects to, without users and passwords.
func (c Config) String() string {
	if c.Context != "" && c.Server == "" {
		return "the servers of context " + c.Context
	}
	urls := c.servers()
	for i, server := range urls {
		urls[i] = hideUserinfo(withScheme(server))
	}
	return strings.Join(urls, ", ")
}

// options returns what nats.Connect needs for c. A file that cannot be read is an error that names its flag: no server
// can mend that.
func (c Config) options() ([]nats.Option, error) {
	var opts []nats.Option
	if c.Creds != "" {
		if _, err := os.ReadFile(c.Creds); err != nil {
			return nil, fmt.Errorf("--creds: %w", err)
		}
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.NKey != "" {
		seed, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("--nkey %s: %w", c.NKey, err)
		}
		opts = append(opts, seed)
	}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.TLSCA != "" {
		opts = append(opts, named("--tls-ca", nats.RootCAs(c.TLSCA)))
	}
	if c.TLSCert != "" {
		opts = append(opts, named("--tls-cert and --tls-key", nats.ClientCert(c.TLSCert, c.TLSKey)))
	}
	return opts, nil
}

// named wraps an option that reads files, so that its error names the flag.
func named(flag string, option nats.Option) nats.Option {
	return func(o *nats.Options) error {
		if err := option(o); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		return nil
	}
}

// withScheme returns the URL as nats.go reads it: without a scheme it is a host.
func withScheme(server string) string {
	if strings.Contains(server, "://") {
		return server
	}
	return "nats://" + server
}
