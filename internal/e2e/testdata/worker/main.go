// Command worker plays the workers of the tests. It keeps the worker contract as far as its model says: a verb, and what
// the verb takes behind a colon. Any other model is one that is served.
//
//	exit:CODE     says why and exits
//	die:SIGNAL    is ended by the signal of that number
//	flood:CODE    prints megabytes, and then exits
//	print         prints without end, and is served
//	loading       listens and is never ready
//	mute          lives and does not listen
//
// Before anything else it writes down in the file "started" of its working directory that it was started.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	time.AfterFunc(2*time.Minute, func() { os.Exit(1) }) // should the test be killed before it can end its workers
	model, port := os.Args[4], os.Args[8]
	register()
	fmt.Println("playing", model)
	verb, arg, _ := strings.Cut(model, ":")
	number, _ := strconv.Atoi(arg)
	switch verb {
	case "exit":
		fmt.Fprintln(os.Stderr, "fatal: no such tensor")
		os.Exit(number)
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.Signal(number))
	case "flood":
		fmt.Println(strings.Repeat("\x1b[31mx\xff", 1<<18))
		fmt.Println("\rthe end")
		os.Exit(number)
	case "mute":
		select {}
	case "print":
		go func() {
			for line := strings.Repeat("noise ", 100); ; time.Sleep(100 * time.Microsecond) {
				fmt.Println(line)
			}
		}()
	case "loading":
		serve(port, "503 Service Unavailable")
	}
	serve(port, "200 OK")
}

// register appends one line: the job, the worker, the pid. One write to a file in append mode is never torn.
func register() {
	file, err := os.OpenFile("started", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // the test gave the workers a directory that cannot be written
	}
	fmt.Fprintf(file, "%s %s %d\n", os.Getenv("RBEE_JOB_ID"), os.Getenv("RBEE_WORKER_ID"), os.Getpid())
	file.Close()
}

// serve answers every request, whatever it asks, with the status.
func serve(port, status string) {
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
				fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
			}
		}()
	}
}
