// Package fakeserver plays an inference server that speaks the OpenAI API, as llama-server and vllm serve do.
//
// It takes the flags of both that the manifests use and no others, so that a flag which they do not know is a failure here, too.
// Its health check is refused, then 503, then 200. What it does besides is asked of it by flags that begin with --play,
// and by requests to /play/, which reach it on its own port alone.
package fakeserver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// longest is how long a server lives, should its test be killed before it can end it.
const longest = 2 * time.Minute

// Server is one that runs.
type server struct {
	model, alias, host string
	port               int
	deaf               bool   // it does not hear SIGTERM
	engine             bool   // it has a child in a session of its own that hears nothing
	hold               string // it loads until this file is there
	note               string // it writes its port here before it listens, and listens once a file of that name with .go behind it is there

	mu        sync.Mutex
	health    int
	enginePID int
	next      chan struct{} // lets one more piece of a stream go
	begun     chan struct{} // a client waits for a piece
	left      chan struct{} // a client has left
}

// Main plays the server that args name and returns its exit code.
func Main(args []string) int {
	time.AfterFunc(longest, func() { os.Exit(1) })
	if len(args) == 1 && args[0] == "engine" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		select {}
	}
	s := &server{health: http.StatusServiceUnavailable, next: make(chan struct{}), begun: make(chan struct{}, 100), left: make(chan struct{}, 100)}
	if err := s.parse(args); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	fmt.Println("fakeserver: loading", s.model)
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	fmt.Println("fakeserver: stopped")
	return 0
}

func (s *server) parse(args []string) error {
	flags := flag.NewFlagSet("fakeserver", flag.ContinueOnError)
	flags.StringVar(&s.model, "model", "", "")
	flags.StringVar(&s.alias, "alias", "", "")
	flags.StringVar(&s.alias, "served-model-name", "", "")
	flags.StringVar(&s.host, "host", "127.0.0.1", "")
	flags.IntVar(&s.port, "port", 0, "")
	device := flags.String("device", "", "")
	layers := flags.String("ngl", "", "")
	flags.Bool("disable-uvicorn-access-log", false, "")
	flags.BoolVar(&s.deaf, "play-deaf", false, "")
	flags.BoolVar(&s.engine, "play-engine", false, "")
	flags.StringVar(&s.hold, "play-hold", "", "")
	flags.StringVar(&s.note, "play-note", "", "")
	code := flags.Int("play-exit", -1, "")
	if len(args) > 1 && args[0] == "serve" { // as vllm
		s.model, args = args[1], args[2:]
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *code >= 0 {
		fmt.Fprintln(os.Stderr, "error: failed to load the model: no such tensor")
		os.Exit(*code)
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unrecognized argument: %s", flags.Arg(0))
	case s.model == "" || s.port == 0 || s.host != "127.0.0.1":
		return errors.New("a model, a port and --host 127.0.0.1 are needed")
	case *device != "" && *device != "none", *layers != "" && strings.Trim(*layers, "0123456789") != "":
		return fmt.Errorf("no such device: %s, %s layers", *device, *layers)
	}
	return nil
}

// run loads, listens and serves until it is told to end.
func (s *server) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if s.engine {
		if err := s.begin(); err != nil {
			return err
		}
	}
	if s.note != "" {
		if err := os.WriteFile(s.note, []byte(strconv.Itoa(s.port)), 0o600); err != nil {
			return err
		}
		await(s.note + ".go")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port)))
	if err != nil {
		return fmt.Errorf("couldn't bind HTTP server socket: %w", err)
	}
	go func() {
		if s.hold != "" {
			await(s.hold)
		}
		s.set(http.StatusOK)
		fmt.Println("fakeserver: serves", s.alias)
	}()
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: longest}
	go func() { _ = web.Serve(listener) }()
	for {
		<-ctx.Done()
		if !s.deaf {
			return web.Close()
		}
		fmt.Println("fakeserver: told to end, goes on")
		select {}
	}
}

// begin starts the engine, which is in a session of its own and outlives this process, as that of vLLM does (vllm#55510).
func (s *server) begin() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"engine"}
	if len(os.Args) > 1 && os.Args[1] == Play {
		args = []string{Play, "engine"}
	}
	cmd := exec.Command(self, args...)
	cmd.SysProcAttr = session()
	if err := cmd.Start(); err != nil {
		return err
	}
	s.enginePID = cmd.Process.Pid
	fmt.Println("fakeserver: engine", s.enginePID)
	go func() { _ = cmd.Wait() }()
	return nil
}

// Play is the first argument of a test binary that is to play the server; the server's own follow.
const Play = "fakeserver"

// await waits for a file.
func await(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (s *server) set(health int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = health
}
