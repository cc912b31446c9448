package devtree

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A stamp says what a build was made of: its command, the program as it was afterwards, and each input as it was before. So
// it tells what has changed since, also where Cargo had nothing to do and left the program's time as it was, where the clock
// was set, and where a source was saved while the build was at work.
//
// It is text, so that a person can read it: each line an identity and a quoted path.
//
// While a build is at work it says that and nothing else: whoever is killed then leaves a program of which nobody knows what it was made of.
type stamp struct {
	command  string
	building bool // the build has not come to its end
	program  identity
	inputs   map[string]string // identities as text, by path
}

const (
	stampHead = "rbee-hive build stamp 1\n"
	// changing is the identity of an input that changed while it was built with: nobody knows which version was read.
	changing = "?"
	// building is what stands in the place of the program while it is built.
	building = "building"
)

// text is the identity as a stamp holds it.
func (id identity) text(dst []byte) []byte {
	if id == (identity{}) {
		return append(dst, '-')
	}
	dst = strconv.AppendUint(dst, id.inode, 10)
	for _, n := range []int64{id.size, id.modified, id.changed} {
		dst = strconv.AppendInt(append(dst, ':'), n, 10)
	}
	return dst
}

// program is the identity of a built program. Cargo links it again and again, which changes only one of its times.
func programOf(path string) (identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	id := identityOf(info)
	id.changed = 0
	return id, nil
}

func (s *source) stampPath(profile string) string {
	return filepath.Join(s.state(), s.name+"."+profile+".stamp")
}

// writeStamp keeps what a build was made of.
func (s *source) writeStamp(profile, command string, program identity, inputs []stamped) error {
	b := append(make([]byte, 0, 128*len(inputs)), stampHead...)
	b = append(strconv.AppendQuote(b, command), '\n')
	b = append(program.text(b), '\n')
	for _, in := range inputs {
		if in.unknown {
			b = append(b, changing...)
		} else {
			b = in.text(b)
		}
		b = append(strconv.AppendQuote(append(b, ' '), in.path), '\n')
	}
	return s.putStamp(profile, b)
}

func (s *source) putStamp(profile string, content []byte) error {
	path := s.stampPath(profile)
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// beginStamp says that the program is being built. What it returns puts back what was known before, for a build that failed and left the
// program as it was.
func (s *source) beginStamp(profile, command string) (failed func(), err error) {
	before, err := os.ReadFile(s.stampPath(profile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	path, _, _ := s.find()
	was, _ := programOf(path) // zero if there is none
	b := append(strconv.AppendQuote([]byte(stampHead), command), '\n')
	if err := s.putStamp(profile, append(b, building+"\n"...)); err != nil {
		return nil, err
	}
	return func() {
		path, _, _ := s.find()
		if now, _ := programOf(path); now != was {
			return
		}
		if before == nil {
			_ = os.Remove(s.stampPath(profile))
		} else {
			_ = s.putStamp(profile, before)
		}
	}, nil
}

// readStamp returns what is known of the last build here; nil if nothing is.
func (s *source) readStamp(profile string) (*stamp, error) {
	content, err := os.ReadFile(s.stampPath(profile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if st, err := parseStamp(content); err == nil {
		return st, nil
	}
	return nil, nil // it was damaged, so nothing is known
}

var errDamaged = errors.New("the stamp is damaged")

func parseStamp(content []byte) (*stamp, error) {
	rest, ok := strings.CutPrefix(string(content), stampHead)
	if !ok || !bytes.HasSuffix(content, []byte("\n")) {
		return nil, errDamaged
	}
	quoted, rest, _ := strings.Cut(rest, "\n")
	command, err := strconv.Unquote(quoted)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	program, rest, _ := strings.Cut(rest, "\n")
	st := &stamp{command: command, inputs: make(map[string]string, strings.Count(rest, "\n"))}
	if st.building = program == building; st.building {
		return st, nil
	}
	if st.program, err = parseIdentity(program); err != nil {
		return nil, err
	}
	for line := range strings.Lines(rest) {
		id, quoted, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		path, err := strconv.Unquote(quoted)
		if !ok || err != nil {
			return nil, errDamaged
		}
		st.inputs[path] = id
	}
	return st, nil
}

func parseIdentity(text string) (identity, error) {
	if text == "-" {
		return identity{}, nil
	}
	var id identity
	n, err := fmt.Sscanf(text, "%d:%d:%d:%d", &id.inode, &id.size, &id.modified, &id.changed)
	if err != nil || n != 4 {
		return identity{}, errDamaged
	}
	return id, nil
}
