package devtree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	lockPoll = 50 * time.Millisecond
	// A build during which its inputs changed is made once more, with what they are by then: most often Cargo wrote its
	// Cargo.lock, and has nothing to do.
	mostRuns = 2
	// mostLooks bounds how often inputs that change all the time are looked at before a build begins nevertheless.
	mostLooks = 5
)

// stamped is an input as a stamp holds it.
type stamped struct {
	input
	unknown bool // it changed while the build was at work
}

// job is one build of a source, while it is at work.
type job struct {
	*source
	profile string
	env     []string
	tell    func(Step)
	// saw is told when all inputs have been looked at for the last time: what was saved before is in the program.
	saw func()
}

// build builds the program unless another process has done so by the time that the lock is free. The error is a [*BuildError],
// or ctx's cause.
func (j *job) build(ctx context.Context) error {
	if err := j.makeState(); err != nil {
		return j.failure(err)
	}
	lock, waited, err := j.lock(ctx)
	if err != nil {
		return j.failure(err)
	}
	defer lock.Close()
	if waited {
		j.saw()
		if v, err := j.check(); err == nil && v.Fresh {
			j.tell(Step{Kind: Elsewhere, Verdict: v})
			return nil
		}
	}
	began := time.Now()
	_ = os.Remove(j.logPath()) // of the build before
	for again := range mostRuns {
		changed, err := j.once(ctx)
		if err != nil {
			return j.failure(err)
		}
		if !changed || j.recipe != nil { // what others build may write below its sources each time
			break
		}
		if again+1 < mostRuns {
			j.tell(Step{Kind: Again})
		}
	}
	path, _, err := j.find()
	switch {
	case err == nil:
	case hasCause(err):
		return j.failure(fmt.Errorf("the build succeeded and left what cannot be started: %s", oneLine(err)))
	case j.recipe != nil:
		return j.failure(fmt.Errorf("the build succeeded and left no %s: correct build or binary in %s", path, filepath.Join(j.dir, recipeFile)))
	default:
		return j.failure(fmt.Errorf("the build succeeded and left no %s: a build.target in a Cargo config, for one, has it put elsewhere", path))
	}
	j.tell(Step{Kind: Built, Verdict: Verdict{Path: path, Profile: j.profile}, Took: time.Since(began), LogPath: j.logPath()})
	return nil
}

// failure makes err one of this build. That the build was cancelled stays as it is.
func (j *job) failure(err error) error {
	if e, ok := errors.AsType[*BuildError](err); ok || errors.Is(err, errLeft) || errors.Is(err, ErrClosed) {
		if ok {
			return e
		}
		return err
	}
	args, _ := j.command(j.profile)
	e := &BuildError{Name: j.name, Command: args, Err: err}
	if errors.Is(err, errSlow) {
		e.Limit, e.Err, e.LogPath = j.opts.timeout, nil, j.logPath()
	}
	return e
}

// once runs the build command and keeps what it was made of. It reports whether that changed meanwhile.
func (j *job) once(ctx context.Context) (changed bool, err error) {
	args, dir := j.command(j.profile)
	before, err := j.settle(ctx)
	if err != nil {
		return false, err
	}
	began := time.Now()
	j.saw()
	failed, err := j.beginStamp(j.profile, strings.Join(args, " "))
	if err != nil {
		return false, err
	}
	if err := j.run(ctx, args, dir); err != nil {
		failed()
		return false, err
	}
	after, broken, err := j.inputs(j.profile)
	if err != nil || broken != nil {
		return false, err
	}
	path, _, _ := j.find()
	program, err := programOf(path)
	if errors.Is(err, fs.ErrNotExist) { // the caller tells
		return false, nil
	}
	if err != nil {
		return false, err
	}
	inputs, changed := meanwhile(before, after, began)
	return changed, j.writeStamp(j.profile, strings.Join(args, " "), program, inputs)
}

// settle looks at the inputs when the last change is a tick of the clock ago, so that no later one looks the same.
func (j *job) settle(ctx context.Context) ([]input, error) {
	for look := 1; ; look++ {
		inputs, _, err := j.inputs(j.profile)
		if err != nil {
			return nil, err
		}
		now, wait := time.Now(), time.Duration(0)
		for _, in := range inputs {
			for _, at := range []int64{in.modified, in.changed} {
				if at > 0 && !settled(at, now) {
					wait = max(wait, tickOf(at)-now.Sub(time.Unix(0, at)))
				}
			}
		}
		if wait <= 0 || look == mostLooks {
			return inputs, nil
		}
		if err := pause(ctx, wait+time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// meanwhile returns what a build was made of, given the inputs before it and after: those that changed in between are not
// known, nor those that nobody looked at before and that changed then.
func meanwhile(before, after []input, began time.Time) (inputs []stamped, changed bool) {
	old := make(map[string]identity, len(before))
	for _, in := range before {
		old[in.path] = in.identity
	}
	for _, in := range after {
		id, ok := old[in.path]
		delete(old, in.path)
		unknown := ok && (id != in.identity || in.last() > 0 && !settled(in.last(), began)) ||
			!ok && in.last() > began.UnixNano()-int64(tickOf(in.last()))
		changed = changed || unknown
		inputs = append(inputs, stamped{in, unknown})
	}
	for _, in := range before {
		if id, gone := old[in.path]; gone { // it is no input any more; if that is wrong, the next check says so
			inputs, changed = append(inputs, stamped{input: input{in.path, id}}), true
		}
	}
	return inputs, changed
}

// run runs the command once.
func (j *job) run(ctx context.Context, args []string, dir string) error {
	path, env, err := j.program(args[0], dir)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(j.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	j.tell(Step{Kind: Started, Command: args, LogPath: j.logPath()})
	cmd := &exec.Cmd{Path: path, Args: args, Dir: dir, Env: env}
	kept := &tail{}
	pace := newPace(j.tell, j.logPath())
	err = run(ctx, cmd, &boundedLog{file: file, left: mostLog}, func(line string) {
		kept.line(line)
		pace.line(line)
	})
	pace.sayDropped()
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	code, signal := exitOf(err)
	e := &BuildError{Name: j.name, Command: args, Code: code, Signal: signal, Lines: kept.lines(), LogPath: j.logPath(), first: kept.first(), more: kept.more}
	if code == nil && signal == "" {
		e.Err = err
	}
	return e
}

// program returns the file of the build command, and the environment that it gets. Where Cargo is not in the PATH, as below
// systemd, it is looked for where rustup puts it.
func (j *job) program(command, dir string) (path string, env []string, err error) {
	env = append(j.env[:len(j.env):len(j.env)], "PWD="+dir)
	path, ok := lookPath(j.env, command, dir)
	switch {
	case ok:
		return path, env, nil
	case j.recipe != nil:
		return "", nil, fmt.Errorf("%s is not here: it is neither below %s nor in the PATH of the hive (%s); correct build in %s, or install it",
			command, dir, value(j.env, "PATH"), filepath.Join(j.dir, recipeFile))
	}
	installed := filepath.Join(cmp.Or(j.opts.cargoHome, filepath.Join("~", ".cargo")), "bin")
	path = filepath.Join(installed, fileName(command))
	if j.opts.cargoHome == "" || !isExecutable(path) {
		return "", nil, fmt.Errorf("%w: it is not in the PATH of the hive (%s) nor where rustup puts it (%s); install Rust, or put Cargo's directory into that PATH, or serve without --auto-update",
			ErrNoCargo, value(j.env, "PATH"), installed)
	}
	return path, append(env, "PATH="+installed+string(filepath.ListSeparator)+value(j.env, "PATH")), nil
}

// lock takes the lock of the program's builds, which another process may have, and reports whether it had to wait.
func (j *job) lock(ctx context.Context) (file *os.File, waited bool, err error) {
	file, err = os.OpenFile(filepath.Join(j.state(), j.name+".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, false, err
	}
	for {
		got, err := tryLock(file)
		if err == nil && got {
			return file, waited, nil
		}
		if err == nil && !waited {
			waited = true
			j.tell(Step{Kind: Waiting, Text: "another hive builds it at this moment"})
		}
		if err == nil {
			err = pause(ctx, lockPoll)
		}
		if err != nil {
			_ = file.Close()
			return nil, waited, err
		}
	}
}

// makeState makes the directory of what is kept of builds, out of sight of Git.
func (j *job) makeState() error {
	dir := j.state()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ignore := filepath.Join(dir, ".gitignore")
	if isRegular(ignore) {
		return nil
	}
	return os.WriteFile(ignore, []byte("*\n"), 0o644)
}

func (s *source) logPath() string { return filepath.Join(s.state(), s.name+".log") }

// pause returns nil after d, or ctx's cause when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
