// Command worker plays the workers of the tests. It keeps the worker contract as far as its model says: a verb, and what
// the verb takes behind a colon. Any other model is one that is served.
//
//	exit:CODE     says why and exits
//	quiet:CODE    exits without a word
//	die:SIGNAL    is ended by the signal of that number
//	flood:CODE    prints megabytes, and then exits
//	garbage:CODE  prints what is no text, and then exits
//	endless:CODE  prints 10 MB without the end of a line, and then exits
//	confess:CODE  prints its command line, and then exits
//	print         prints without end, and is served
//	torrent       prints 100 MB in each of two seconds, and exits
//	loading       listens and is never ready
//	slow:MS       listens, and is ready after so many milliseconds
//	gated         listens, and is ready once the file "go" is in its working directory
//	fades:CODE    listens, and exits once it was asked for its health
//	mute          lives and does not listen
//	patient       says when it is told to end, which it does once the file "go" is in its working directory
//	family        is served by four processes: a child, one in a session of its own, and one that does not obey SIGTERM
//	orphans       exits and leaves a process in a session of its own
//	other         closes what it inherited and becomes a program of another name, without an environment, that is served
//
// Before anything else it writes down in the file "started" of its working directory that it was started. If there is a directory "alive"
// beside that, it also writes down in the file "clashes" if another worker of its id lives for a second longer.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// longest is how long a worker lives, should the test be killed before it can end its workers.
const longest = 2 * time.Minute

func main() {
	time.AfterFunc(longest, func() { os.Exit(1) })
	if len(os.Args) == 3 { // what another of these has become, or a member of a family
		member(os.Args[1], os.Args[2])
	}
	model, port := os.Args[4], os.Args[8]
	register()
	verb, arg, _ := strings.Cut(model, ":")
	number, _ := strconv.Atoi(arg)
	if verb == "quiet" {
		os.Exit(number)
	}
	fmt.Println("playing", model)
	switch verb {
	case "exit":
		fmt.Fprintln(os.Stderr, "fatal: no such tensor")
		os.Exit(number)
	case "die":
		// The runtime of Go takes some signals as its own errors; a shell dies of them.
		fmt.Println(syscall.Exec("/bin/sh", []string{"sh", "-c", "ulimit -c 0; kill -" + arg + " $$"}, os.Environ()))
		os.Exit(1)
	case "flood":
		fmt.Println(strings.Repeat("\x1b[31mx\xff", 1<<18))
		fmt.Println("\rthe end")
		os.Exit(number)
	case "garbage":
		for range 100 {
			fmt.Println("\x00\x01\x80\xfe\x1b]0;title\x07\xc3\x28\x7f\u009b")
		}
		fmt.Println("at last\x00 \xffsomething")
		os.Exit(number)
	case "endless":
		for range 10 {
			fmt.Print(strings.Repeat("0123456789abcdef", 1<<16))
		}
		fmt.Print(" the end")
		os.Exit(number)
	case "confess":
		fmt.Println(os.Args)
		os.Exit(number)
	case "mute":
		select {}
	case "print":
		go func() {
			for line := strings.Repeat("noise ", 100); ; time.Sleep(100 * time.Microsecond) {
				fmt.Println(line)
			}
		}()
	case "torrent":
		torrent(2 * time.Second)
		os.Exit(0)
	case "loading":
		serve(port, "503 Service Unavailable", func() {})
	case "slow":
		ready := time.Now().Add(time.Duration(number) * time.Millisecond)
		serveAs(port, func() string {
			if time.Now().Before(ready) {
				return "503 Service Unavailable"
			}
			return "200 OK"
		}, func() {})
	case "gated":
		serveAs(port, func() string {
			if _, err := os.Stat("go"); err != nil {
				return "503 Service Unavailable"
			}
			return "200 OK"
		}, func() {})
	case "fades":
		serve(port, "503 Service Unavailable", func() {
			fmt.Println("out of tensors")
			os.Exit(number)
		})
	case "patient":
		go bePatient()
	case "family":
		begin("child", port, false)
		begin("daemon", port, true)
		begin("deaf", port, false)
	case "orphans":
		begin("daemon", port, true)
		os.Exit(0)
	case "other":
		for fd := 3; fd < 64; fd++ {
			syscall.CloseOnExec(fd)
		}
		fmt.Println(syscall.Exec("/proc/self/exe", []string{"vllm: engine", "other", port}, nil))
		os.Exit(1)
	}
	serve(port, "200 OK", func() {})
}

// register appends one line: the job, the worker, the pid. One write to a file in append mode is never torn.
func register() {
	file, err := os.OpenFile("started", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // the test gave the workers a directory that cannot be written
	}
	fmt.Fprintf(file, "%s %s %d\n", os.Getenv("RBEE_JOB_ID"), os.Getenv("RBEE_WORKER_ID"), os.Getpid())
	file.Close()
	go watchOut()
}

// watchOut holds a lock for as long as the worker lives.
func watchOut() {
	id := os.Getenv("RBEE_WORKER_ID")
	alive, err := os.OpenFile("alive/"+id, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return
	}
	for tries := 0; syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; tries++ {
		if tries == 100 {
			file, err := os.OpenFile("clashes", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err == nil {
				fmt.Fprintln(file, id, os.Getpid())
				file.Close()
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	kept = alive
}

// kept is the lock, which must not be closed by the collector.
var kept *os.File

// begin starts another process of the worker, and returns when it plays its role.
func begin(role, port string, daemon bool) {
	cmd := exec.Command("/proc/self/exe", role, port)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: daemon}
	cmd.Stderr = os.Stderr
	said, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(said).ReadString('\n')
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(role, cmd.Process.Pid)
}

// member plays one process of a worker that has more.
func member(role, port string) {
	if role == "other" {
		serve(port, "200 OK", func() {})
	}
	if role == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	}
	fmt.Println(role)
	select {}
}

// bePatient says each time that the worker is told to end, and ends it when the test says so.
func bePatient() {
	told := make(chan os.Signal, 16)
	signal.Notify(told, syscall.SIGTERM)
	allowed := time.NewTicker(time.Millisecond)
	for begun := false; ; {
		select {
		case s := <-told:
			fmt.Println("told:", s)
			begun = true
		case <-allowed.C:
			if _, err := os.Stat("go"); begun && err == nil {
				os.Exit(0)
			}
		}
	}
}

// torrent prints 100 MB per second, or what the machine can.
func torrent(how time.Duration) {
	line := strings.Repeat("torrent ", 127) + "torrent\n"
	megabyte := []byte(strings.Repeat(line, 1_000_000/len(line)))
	begun := time.Now()
	for n := 1; time.Since(begun) < how; n++ {
		if _, err := os.Stdout.Write(megabyte); err != nil {
			os.Exit(1)
		}
		time.Sleep(time.Until(begun.Add(time.Duration(n) * 10 * time.Millisecond)))
	}
}

// serve answers every request, whatever it asks, with the status, and then does what comes behind.
func serve(port, status string, behind func()) {
	serveAs(port, func() string { return status }, behind)
}

// serveAs is serve with a status that may change.
func serveAs(port string, status func() string, behind func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer conn.Close()
			if n, _ := conn.Read(make([]byte, 4096)); n > 0 {
				fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status())
				behind()
			}
		}()
	}
}
