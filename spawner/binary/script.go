package binary

import (
	"bytes"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// checkScript looks at the #! line as the kernels do (fs/binfmt_script.c in Linux).
func checkScript(p program) *Error {
	if runtime.GOOS == "windows" {
		return p.fails(UnknownFormat, "is a #! script, which Windows cannot start: install a program")
	}
	interpreter, whole := interpreterOf(p.header)
	switch {
	case !whole:
		return p.fails(UnknownFormat, fmt.Sprintf("has a #! line of more than %d bytes: shorten the interpreter's path", longestLine()))
	case interpreter == "":
		return p.fails(UnknownFormat, "has a #! line that names no interpreter: complete it, such as #!/bin/sh")
	}
	if !filepath.IsAbs(interpreter) {
		if p.dir == "" {
			return nil // Depends on the directory that it is started in.
		}
		interpreter = filepath.Join(p.dir, interpreter)
	}
	reason := unusable(interpreter)
	if reason == "" {
		return nil
	}
	if strings.HasSuffix(interpreter, "\r") {
		return p.fails(Interpreter, fmt.Sprintf("has Windows line ends, so its interpreter is %q, which %s: "+
			"convert it (sed -i 's/\\r$//')", interpreter, reason))
	}
	return p.fails(Interpreter, fmt.Sprintf("needs the interpreter %s, which %s: install it or correct the #! line",
		show(interpreter), reason))
}

// interpreterOf returns the interpreter that a #! line names, and false when the kernel cannot read to its end.
func interpreterOf(header []byte) (string, bool) {
	line := header[len("#!"):min(len(header), longestLine())]
	line, _, ended := bytes.Cut(line, []byte("\n"))
	ended = ended || len(header) < longestLine()
	line = bytes.TrimLeft(line, " \t")
	if end := bytes.IndexAny(line, " \t\x00"); end >= 0 {
		line, ended = line[:end], true
	}
	return string(line), ended
}

// longestLine returns how many bytes of a script the kernel reads.
func longestLine() int {
	if runtime.GOOS == "darwin" {
		return 512
	}
	return 256
}
