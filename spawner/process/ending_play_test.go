//go:build linux

package process_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// endAtOnce has a program with the race detector exit like any other, and not a second later.
const endAtOnce = "GORACE=atexit_sleep_ms=0"

// playTree is a worker, or a process below one, that does what its words say, in turn. "wait" waits for SIGTERM and ends.
//
//	child=…    starts a process that plays the rest of the word, with commas for spaces and semicolons for commas
//	daemon=…   the same in a session of its own
//	bare=… bare-daemon=…  the same without the inherited locks
//	anonymous=…           a daemon without locks and without what its worker's environment says
func playTree(script string) int {
	stop := make(chan os.Signal, 8)
	signal.Notify(stop, syscall.SIGTERM)
	for word := range strings.SplitSeq(script, " ") {
		verb, arg, _ := strings.Cut(word, "=")
		switch verb {
		case "child", "daemon", "bare", "bare-daemon", "anonymous":
			begin(verb, arg)
		case "title":
			rewriteTitle()
		case "close":
			_, _ = unix.Close(3), unix.Close(4) // what it inherited; the runtime's own come behind
		case "ignore":
			signal.Ignore(syscall.SIGTERM)
		case "listen":
			listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("TREE_TEST_PORT"))
			if err != nil {
				fmt.Println("cannot listen:", err)
				return 1
			}
			defer func() { _ = listener.Close() }()
		case "headless":
			endFirstThread(stop)
		case "say":
			fmt.Println("here", arg, os.Getpid())
		case "spin":
			for len(stop) == 0 {
			}
		case "stop":
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		case "exit":
			return 0
		case "breed": // on SIGTERM it does not end but starts more and more
			<-stop
			for {
				begin("child", "ignore,wait")
				begin("anonymous", "ignore,wait")
			}
		case "wait":
			<-stop
			return 0
		}
	}
	return 1
}

// begin starts a process that plays the script, and forgets it.
func begin(verb, script string) {
	script = strings.NewReplacer(",", " ", ";", ",").Replace(script)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{playAs + "=tree " + script, endAtOnce}
	if verb != "anonymous" {
		for _, entry := range os.Environ() {
			if strings.HasPrefix(entry, "TREE_TEST_") {
				cmd.Env = append(cmd.Env, entry)
			}
		}
	}
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: verb == "daemon" || verb == "bare-daemon" || verb == "anonymous"}
	if verb == "child" || verb == "daemon" {
		cmd.ExtraFiles = inherited()
	}
	if err := cmd.Start(); err != nil {
		fmt.Println("cannot start:", err)
		return
	}
	go func() { _ = cmd.Wait() }()
}

// inherited returns the locks. They are kept, since a file that nobody keeps is closed.
var inherited = sync.OnceValue(func() []*os.File {
	return []*os.File{os.NewFile(3, "lock"), os.NewFile(4, "port")}
})

// rewriteTitle gives the process another name, and writes over its arguments and environment, as setproctitle(3) does.
func rewriteTitle() {
	name := [16]byte{}
	copy(name[:], "x) R 1 (1 1 1")
	_ = os.WriteFile("/proc/self/comm", name[:], 0)
	stat, _ := os.ReadFile("/proc/self/stat")
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const argStart, envEnd = 48 - 3, 51 - 3 // proc(5)
	from, _ := strconv.ParseInt(string(fields[argStart]), 10, 64)
	to, _ := strconv.ParseInt(string(fields[envEnd]), 10, 64)
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err == nil {
		_, err = memory.WriteAt(bytes.Repeat([]byte{'x'}, int(to-from)), from)
	}
	if err != nil {
		fmt.Println("cannot rewrite:", err)
	}
}

// onFirstThread has the main goroutine stay on the first thread of a process that will end it.
var onFirstThread = func() bool {
	headless := strings.Contains(os.Getenv(playAs), "headless")
	if headless {
		runtime.LockOSThread()
	}
	return headless
}()

// endFirstThread ends the first thread of the process, while the others go on: it then looks like a zombie.
func endFirstThread(stop <-chan os.Signal) {
	go func() { <-stop; os.Exit(0) }()
	if onFirstThread {
		_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
	}
}
