// Package natsd runs a NATS server inside this process.
//
// It is what `rbee dev`, `rbee demo` and the tests stand on: no installation, no fixed port, nothing left behind. A fleet
// runs a nats-server of its own, set up like the file in deploy/.
package natsd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// readyTimeout bounds the wait for a server that neither listens nor says why. A start takes milliseconds; only a machine
// in trouble comes near it.
const readyTimeout = time.Minute

// authTimeout is how long a client may take to say who it is, unless a configuration says otherwise. It is on this machine, and where it takes long
// the machine is busy; the library's 2 seconds are against strangers.
const authTimeout = time.Minute

// Config says how to start a server. The zero value starts one on a free port of 127.0.0.1, without JetStream.
type Config struct {
	// Host is the address to listen on; empty means 127.0.0.1.
	Host string
	// Port is the client port; 0 means a free one.
	Port int
	// StoreDir is where JetStream keeps its streams; empty means that JetStream is off. Two servers must not share one.
	StoreDir string
	// ConfigFile is a nats-server.conf to start from; empty means none. It gives users, permissions, TLS and limits.
	// What it says of addresses, ports and the store does not count: Host, Port and StoreDir above do, and the server
	// listens nowhere else (no monitoring, leaf node, websocket or MQTT port, and no cluster but the one below).
	ConfigFile string
	// Name is the server's name; empty means the one in ConfigFile, else a random one.
	Name string
	// Cluster makes the server one of several that keep streams together; nil means that it stands alone.
	Cluster *Cluster
}

// Server is a running NATS server.
type Server struct {
	nats *server.Server
}

// Start starts a server and returns once it takes connections.
//
// It never installs signal handlers and never writes a log: whatever keeps the server from starting is in the error.
func Start(cfg Config) (*Server, error) {
	opts, err := options(cfg)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("set up NATS server: %w", err)
	}
	log := &fatalLog{}
	s.SetLoggerV2(log, false, false, false)

	s.Start() // returns once the listener is there, or once the server gave up
	srv := &Server{nats: s}
	if err := log.first(); err != nil {
		srv.Shutdown()
		return nil, explain(err, cfg)
	}
	if !s.ReadyForConnections(readyTimeout) {
		srv.Shutdown()
		return nil, fmt.Errorf("start NATS server: not ready for connections after %s: look at this machine's load and disk",
			readyTimeout)
	}
	return srv, nil
}

// URL returns the URL by which clients on this machine reach the server. It holds no user and no password.
func (s *Server) URL() string {
	u, err := url.Parse(s.nats.ClientURL())
	if err != nil {
		return s.nats.ClientURL()
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsUnspecified() {
		// Listening everywhere is not an address that every system can dial.
		u.Host = net.JoinHostPort("localhost", u.Port())
	}
	return u.String()
}

// Shutdown closes every connection, stops the server and returns when it has ended. Calling it again does nothing.
func (s *Server) Shutdown() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

// options returns what the server library needs for cfg.
func options(cfg Config) (*server.Options, error) {
	opts := &server.Options{}
	if cfg.ConfigFile != "" {
		var err error
		if opts, err = server.ProcessConfigFile(cfg.ConfigFile); err != nil {
			// The library puts each mistake on a line of its own; an error here is one line.
			text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
			return nil, fmt.Errorf("read NATS configuration: %w: correct that line, or set the variable it names",
				&startError{text: text, cause: err})
		}
	}

	opts.Host = cfg.Host
	if opts.Host == "" {
		opts.Host = "127.0.0.1"
	}
	opts.Port = cfg.Port
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	opts.JetStream, opts.StoreDir = cfg.StoreDir != "", cfg.StoreDir
	if opts.AuthTimeout == 0 {
		opts.AuthTimeout = authTimeout.Seconds()
	}
	if cfg.Name != "" {
		opts.ServerName = cfg.Name
	}
	cluster := opts.Cluster
	onlyClients(opts)
	if cfg.Cluster != nil {
		if err := cfg.Cluster.join(opts, cluster); err != nil {
			return nil, err
		}
	}

	// Without NoSigs the server ends this very process on SIGTERM.
	opts.NoSigs, opts.NoLog = true, true
	opts.DisableJetStreamBanner = true
	return opts, nil
}

// onlyClients takes out of opts every other port to listen on and every file to write beside the store.
func onlyClients(opts *server.Options) {
	opts.HTTPPort, opts.HTTPSPort, opts.ProfPort = 0, 0, 0
	opts.Cluster, opts.Routes = server.ClusterOpts{}, nil
	opts.Gateway, opts.LeafNode = server.GatewayOpts{}, server.LeafNodeOpts{}
	opts.Websocket, opts.MQTT = server.WebsocketOpts{}, server.MQTTOpts{}
	opts.LogFile, opts.PidFile, opts.PortsFileDir = "", "", ""
	opts.Syslog, opts.RemoteSyslog = false, ""
}

// explain adds to a failed start what to do about it.
func explain(err error, cfg Config) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = ": another server listens there: stop it, or take port 0 for a free one"
	case errors.Is(err, syscall.EACCES) && cfg.Port > 0 && cfg.Port < 1024:
		hint = ": ports below 1024 belong to root: take a higher one"
	case cfg.StoreDir != "" && strings.Contains(err.Error(), "JetStream"):
		hint = ": check that " + cfg.StoreDir + " is a directory that this user may write"
	}
	return fmt.Errorf("start NATS server: %w%s", err, hint)
}
