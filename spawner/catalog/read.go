package catalog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Bounds of a manifest's lists.
const (
	mostArgs      = 256
	mostVariables = 128
	mostFiles     = 256
	longestText   = 4096
)

// ReadManifest reads and checks the manifest in a file. The error is a [*SyntaxError] for what is wrong in it.
func ReadManifest(file string) (*Manifest, error) {
	source, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	data, err := io.ReadAll(io.LimitReader(source, MaxManifest+1))
	if err != nil {
		return nil, err
	}
	return DecodeManifest(file, data)
}

// DecodeManifest is [ReadManifest] for what was read from a file.
func DecodeManifest(file string, data []byte) (*Manifest, error) {
	if len(data) > MaxManifest {
		return nil, &SyntaxError{File: file, Line: 1, Column: 1, Err: fmt.Errorf("has more than %d bytes, which is the most that is read", MaxManifest)}
	}
	r, m := newReader(file, data), new(Manifest)
	r.object(manifestFields, func(field string) bool {
		read, known := manifestReaders[field]
		if known {
			read(m, r)
		}
		return known
	})
	if err := r.end(); err != nil {
		return nil, err
	}
	return m, nil
}

var manifestFields = []string{
	"name", "version", "description", "worker_type", "devices", "binary", "sha256", "args", "env", "files", "health", "stop", "build",
}

var manifestReaders = map[string]func(*Manifest, *reader){
	"name":        func(m *Manifest, r *reader) { m.Name = r.text(checkName) },
	"version":     func(m *Manifest, r *reader) { m.Version = r.text(checkVersion) },
	"description": func(m *Manifest, r *reader) { m.Description = r.text(checkText) },
	"worker_type": func(m *Manifest, r *reader) { m.WorkerType = r.text(oneOf("CpuLlm", "CudaLlm", "MetalLlm")) },
	"devices":     func(m *Manifest, r *reader) { m.Devices = r.texts(mostVariables, checkDevice) },
	"binary":      func(m *Manifest, r *reader) { m.Binary = r.text(checkPath) },
	"sha256":      func(m *Manifest, r *reader) { m.SHA256 = r.text(checkSum) },
	"args":        func(m *Manifest, r *reader) { m.Args = r.texts(mostArgs, all(checkText, checkTemplate)) },
	"env":         func(m *Manifest, r *reader) { m.Env = r.env() },
	"files":       func(m *Manifest, r *reader) { m.Files = r.texts(mostFiles, checkPath) },
	"health":      func(m *Manifest, r *reader) { m.Health = r.health() },
	"stop":        func(m *Manifest, r *reader) { m.Stop = r.stop() },
	"build":       func(m *Manifest, r *reader) { m.Build = r.texts(mostArgs, checkText) },
}

func (r *reader) env() (e Env) {
	r.object([]string{"set", "pass", "strip"}, func(field string) bool {
		switch field {
		case "set":
			e.Set = make(map[string]string)
			r.object(nil, func(name string) bool {
				if err := checkOwnVariable(name); err != nil {
					r.fail(err)
				} else if len(e.Set) == mostVariables {
					r.fail(fmt.Errorf("there are more than %d", mostVariables))
				}
				e.Set[name] = r.text(all(checkText, checkTemplate))
				return true
			})
		case "pass":
			e.Pass = r.texts(mostVariables, checkOwnVariable)
		case "strip":
			e.Strip = r.texts(mostVariables, checkStrip)
		default:
			return false
		}
		return true
	})
	return e
}

func (r *reader) health() (h Health) {
	r.object([]string{"path", "status"}, func(field string) bool {
		switch field {
		case "path":
			h.Path = r.text(checkHealthPath)
		case "status":
			h.Status = r.number(100, 599)
		default:
			return false
		}
		return true
	})
	return h
}

func (r *reader) stop() (s Stop) {
	r.object([]string{"signal", "grace"}, func(field string) bool {
		switch field {
		case "signal":
			s.Signal = r.text(oneOf(Signals...))
		case "grace":
			r.text(func(text string) error {
				grace, err := time.ParseDuration(text)
				if err != nil || grace <= 0 || grace > time.Duration(MaxGrace) {
					return fmt.Errorf("is %s; use a time such as 30s, more than 0 and at most %s (to kill at once, use the signal SIGKILL)", shorten(text), time.Duration(MaxGrace))
				}
				s.Grace = Duration(grace)
				return nil
			})
		default:
			return false
		}
		return true
	})
	return s
}

func all(checks ...func(string) error) func(string) error {
	return func(text string) error {
		for _, check := range checks {
			if err := check(text); err != nil {
				return err
			}
		}
		return nil
	}
}

func oneOf(words ...string) func(string) error {
	return func(word string) error {
		if slices.Contains(words, word) {
			return nil
		}
		return fmt.Errorf("is %s; use one of %s", shorten(word), strings.Join(words, ", "))
	}
}

func checkText(text string) error {
	if len(text) > longestText {
		return fmt.Errorf("has %d bytes; at most %d are taken", len(text), longestText)
	}
	if at := strings.IndexFunc(text, unicode.IsControl); at >= 0 {
		return fmt.Errorf("holds the control character %U", []rune(text[at:])[0])
	}
	return nil
}

func checkName(name string) error {
	if !names.MatchString(name) {
		return errName
	}
	return nil
}

func checkVersion(version string) error {
	if r, err := parseRelease(version); err != nil || r.String() != version {
		return errVersion
	}
	return nil
}

var deviceName = regexp.MustCompile(`^(cpu|metal|cuda|cuda:(0|[1-9][0-9]{0,3}))$`)

func checkDevice(device string) error {
	if !deviceName.MatchString(device) {
		return fmt.Errorf("is %s; use cpu, cuda, metal, or one GPU as cuda:0", shorten(device))
	}
	return nil
}

var checksum = regexp.MustCompile(`^[0-9a-f]{64}$`)

func checkSum(sum string) error {
	if !checksum.MatchString(sum) {
		return errors.New("is no checksum: use the 64 hexadecimal digits, in lower case, that sha256sum prints")
	}
	return nil
}

// checkPath refuses a path that is neither absolute nor stays in the entry's directory.
func checkPath(name string) error {
	switch {
	case name == "":
		return errors.New("is empty: name a file")
	case checkText(name) != nil:
		return checkText(name)
	case filepath.IsAbs(name):
		if filepath.Clean(name) != name {
			return fmt.Errorf("is %s; write it without '.', '..' and doubled separators", shorten(name))
		}
		return nil
	case !filepath.IsLocal(name), strings.Contains(name, `\`), path.Clean(name) != name:
		return fmt.Errorf("is %s, which is not a plain path in the entry's directory: use one like bin/server, or an absolute path", shorten(name))
	}
	return nil
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// checkOwnVariable refuses the names of what only the hive may set or know.
func checkOwnVariable(name string) error {
	switch {
	case !variable.MatchString(name):
		return fmt.Errorf("%s is no name of a variable", shorten(name))
	case IsHives(name):
		return fmt.Errorf("%s is the hive's own: RBEE_… it sets itself, and NATS_… and what systemd tells it may hold its credentials", name)
	}
	return nil
}

// IsHives reports whether a variable is the hive's own, which no worker gets from a manifest: its settings and
// credentials, and what systemd gave it.
func IsHives(name string) bool {
	return strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "RBEE_") ||
		slices.Contains([]string{"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"}, name)
}

func checkStrip(name string) error {
	if bare := strings.TrimSuffix(name, "*"); !variable.MatchString(bare) {
		return fmt.Errorf("%s is no name of a variable, nor the beginning of one with a * behind it", shorten(name))
	}
	return nil
}

var healthPath = regexp.MustCompile(`^/[!-~]{0,255}$`)

func checkHealthPath(path string) error {
	if !healthPath.MatchString(path) || strings.Contains(path, "#") {
		return fmt.Errorf("is %s; use a path like /health, of printable ASCII and at most 256 bytes", shorten(path))
	}
	return nil
}
