//go:build linux

package spawner_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// play is a worker that behaves as its model says: a verb, and after a colon what it takes.
func play(model, port string) int {
	time.AfterFunc(2*time.Minute, func() { os.Exit(1) }) // should the test be killed before it can end its workers
	fmt.Println("playing", model)
	verb, arg, _ := strings.Cut(model, ":")
	switch verb {
	case "exit":
		fmt.Fprintln(os.Stderr, "fatal: no such tensor")
		code, _ := strconv.Atoi(arg)
		return code
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "print":
		for {
			fmt.Println(strings.Repeat("noise ", 20))
		}
	case "close":
		_, _ = syscall.Close(3), syscall.Close(4) // what it inherited; the runtime's own come behind
		fmt.Println("closed")
	case "scribble":
		for fd := 3; fd <= 4; fd++ {
			_, err := syscall.Write(fd, []byte("scribble"))
			fmt.Println("scribbled:", err)
		}
		fmt.Println("done scribbling")
	case "orphan": // ends, at once or when it is told to, and leaves a process behind that holds what it inherited
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Args[4] = "live"
		if arg == "serves" {
			child.Args[4] = "serve:now"
		}
		child.ExtraFiles = []*os.File{os.NewFile(3, "lock"), os.NewFile(4, "port")}
		if err := child.Start(); err != nil {
			return 1
		}
		fmt.Println("child", child.Process.Pid, "left")
		if arg != "told" {
			return 0
		}
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		fmt.Println("end of env")
	case "serve":
		return serve(port, arg)
	case "server": // knows nothing of the contract: its health is elsewhere, and another signal ends it
		fmt.Println(strings.Join(append(os.Args, os.Environ()...), "\n"))
		return server(port)
	case "loads":
		return loads(port, arg)
	case "burn":
		for {
			burned++
		}
	case "flood": // as fast as one write a line goes
		for n := 0; ; n++ {
			fmt.Println("flood", n, strings.Repeat("noise ", 100))
		}
	case "steps":
		for step := 1; ; step++ {
			fmt.Println("step", step)
			time.Sleep(2 * time.Millisecond)
		}
	case "escape": // has a descendant that nothing but its control group tells, and stays, or leaves
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Args[4], child.Stdout = "leave", os.Stdout
		if err := child.Run(); err != nil {
			return 1
		}
		fmt.Println("alone")
		if arg == "leaves" {
			return 0
		}
	case "leave":
		syscall.CloseOnExec(3)
		syscall.CloseOnExec(4)
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Args[4], child.Env, child.SysProcAttr = "live", []string{"GORACE=atexit_sleep_ms=0"}, &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return 1
		}
		fmt.Println("child", child.Process.Pid, "escaped")
		return 0
	case "comet": // has a descendant that is another process each time that somebody looks
		syscall.CloseOnExec(3)
		syscall.CloseOnExec(4)
		child := exec.Command("/bin/sh", "-c", "fly() { test $1 -gt 0 && fly $(($1-1)) & }; fly 50000")
		child.Env, child.SysProcAttr = []string{"COMET=1"}, &syscall.SysProcAttr{Setsid: true}
		if err := child.Run(); err != nil {
			return 1
		}
		fmt.Println("flies")
	case "parent": // has a child in its session, which holds nothing
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Args[4] = "live"
		if err := child.Start(); err != nil {
			return 1
		}
		fmt.Println("child", child.Process.Pid, "made")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		select {}
	case "code": // obeys, and says so in its exit code
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("obedient")
		<-stop
		code, _ := strconv.Atoi(arg)
		return code
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return 0
}

// server is healthy where /status answers 204, says nothing of itself elsewhere, and exits with code 7 on SIGINT.
func server(port string) int {
	stop := make(chan os.Signal, 1)
	signal.Ignore(syscall.SIGTERM)
	signal.Notify(stop, syscall.SIGINT)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("end of env")
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RequestURI() != "/status?of=all" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}))
	}()
	<-stop
	return 7
}

var burned int

// serve listens on the port; its health is 503 for a while, and then as arg says: "ready", "never", or "die". "now" is ready from the
// beginning, and "hang" never answers.
func serve(port, arg string) int {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var asked atomic.Int32
	var once sync.Once
	done := make(chan struct{})
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := asked.Add(1)
			switch {
			case arg == "now":
			case arg == "hang":
				<-r.Context().Done()
			case n < 3 || arg == "never":
				w.WriteHeader(http.StatusServiceUnavailable)
			case arg == "die":
				w.WriteHeader(http.StatusServiceUnavailable)
				once.Do(func() { close(done) })
			}
		}))
	}()
	<-done
	fmt.Println("out of memory")
	return 9
}
