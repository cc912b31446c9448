package devtree

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Prospect is how a program would be built.
type Prospect struct {
	// Dir is where its source is.
	Dir string
	// Command is the build command, and Path the file that it means.
	Command []string
	Path    string

	root string
	env  []string
}

// Prospect returns how the program called name would be built, and builds nothing. The error is [ErrNoSource] if its source is
// nowhere, and has [ErrNoCargo] if Cargo is to build it and is not here.
func (u *Updater) Prospect(name string) (Prospect, error) {
	s, err := sourceOf(&u.opts, name)
	if err != nil {
		return Prospect{}, err
	}
	args, dir := s.command(profiles()[0])
	p := Prospect{Dir: s.dir, Command: args, root: dir}
	p.Path, p.env, err = (&job{source: s, env: u.env}).program(args[0], dir)
	return p, err
}

// Version asks the build command for its version, with the environment of a build and where that would run. It installs nothing: where
// the toolchain that the source asks for is missing, the error says so.
func (p Prospect) Version(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, p.Path, "--version")
	cmd.Dir, cmd.Env, cmd.WaitDelay = p.root, append(p.env, "RUSTUP_AUTO_INSTALL=0"), time.Second
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s --version: %w: %s", p.Path, err, text)
	}
	return text, nil
}
