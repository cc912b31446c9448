package devtree

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// Verdict says whether a built program is what its sources say.
type Verdict struct {
	// Fresh says that nothing has changed since the program was built.
	Fresh bool
	// Because says why it is not fresh, to be read behind the program's path.
	Because string
	// File is the input because of which it is not fresh, absolute; empty if there is none.
	File string
	// Path is the program, or where the next build puts it; Profile is "debug" or "release".
	Path, Profile string
	// Files is how many inputs were looked at, and Took how long that took.
	Files int
	Took  time.Duration
}

// check looks at the program and at all that it is made from. An error means that this process could not look.
func (s *source) check() (Verdict, error) {
	began := time.Now()
	path, profile, missing := s.find()
	v := Verdict{Path: path, Profile: profile}
	defer func() { v.Took = time.Since(began) }()
	switch {
	case binary.Retryable(missing):
		return v, missing
	case missing != nil && !hasCause(missing):
		v.Because = "has not been built"
		return v, nil
	case missing != nil:
		v.Because = "cannot be started: " + oneLine(missing)
		return v, nil
	}
	inputs, broken, err := s.inputs(profile)
	if err != nil {
		return v, err
	}
	v.Files = len(inputs)
	if broken != nil {
		v.Because = "may be older than its sources: " + oneLine(broken)
		if file, ok := errors.AsType[*fs.PathError](broken); ok {
			v.File = file.Path
		}
		return v, nil
	}
	err = s.compare(&v, inputs)
	v.Took = time.Since(began)
	return v, err
}

// hasCause reports whether err says what is wrong with a program that is there.
func hasCause(err error) bool {
	_, ok := errors.AsType[*binary.Error](err)
	return ok && !errors.Is(err, fs.ErrNotExist)
}

// compare fills in whether the inputs are those that the program was built from.
func (s *source) compare(v *Verdict, inputs []input) error {
	program, err := programOf(v.Path)
	if errors.Is(err, fs.ErrNotExist) { // somebody builds it at this moment
		v.Because = "has not been built"
		return nil
	}
	if err != nil {
		return err
	}
	st, err := s.readStamp(v.Profile)
	if err != nil {
		return err
	}
	args, _ := s.command(v.Profile)
	switch {
	case st != nil && st.building:
		v.Because = "is being built, or was when that broke off"
	case st == nil || st.program != program:
		s.compareTimes(v, inputs, program) // somebody else built it
	case st.command != strings.Join(args, " "):
		v.Because = "was built by another command"
	default:
		s.compareStamp(v, inputs, st)
	}
	return nil
}

// compareTimes goes by what the clock says, as Cargo does: a source as old as the program may have been saved behind it in the
// same tick.
func (s *source) compareTimes(v *Verdict, inputs []input, program identity) {
	var newest input
	for _, in := range inputs {
		switch {
		case in.identity == (identity{}):
			if !s.mayMiss(in.path) {
				v.File, v.Because = in.path, "was made from "+s.show(in.path)+", which is gone"
				return
			}
		case in.modified > newest.modified:
			newest = in
		}
	}
	switch {
	case newest.modified >= program.modified:
		v.File, v.Because = newest.path, "is not newer than "+s.show(newest.path)
	case s.recipe == nil && len(s.opts.features) > 0:
		v.Because = "may have other features than " + strings.Join(s.opts.features, ",")
	default:
		v.Fresh = true
	}
}

// mayMiss reports whether a program can be built where the file is missing.
func (s *source) mayMiss(path string) bool {
	if s.recipe != nil {
		return false
	}
	switch filepath.Base(path) {
	case "config.toml", "config", "rust-toolchain.toml", "rust-toolchain", "Cargo.lock":
		return true
	}
	return false
}

// compareStamp goes by what the last build saw.
func (s *source) compareStamp(v *Verdict, inputs []input, st *stamp) {
	var changed, added *input
	known := 0
	var text []byte
	for i := range inputs {
		in := &inputs[i]
		before, ok := st.inputs[in.path]
		if !ok {
			added = in
			continue
		}
		known++
		text = in.text(text[:0])
		if string(text) != before && (changed == nil || in.modified > changed.modified) {
			changed = in
		}
	}
	switch {
	case changed != nil && changed.identity == (identity{}):
		v.File, v.Because = changed.path, "was made from "+s.show(changed.path)+", which is gone"
	case changed != nil:
		v.File, v.Because = changed.path, "was made before "+s.show(changed.path)+" changed"
	case known < len(st.inputs):
		v.File = s.gone(inputs, st)
		v.Because = "was made from " + s.show(v.File) + ", which is gone"
	case added != nil:
		v.File, v.Because = added.path, "was made before "+s.show(added.path)+" came"
	default:
		v.Fresh = true
	}
}

// gone returns an input of the last build that is none any more.
func (s *source) gone(inputs []input, st *stamp) string {
	there := make(map[string]bool, len(inputs))
	for _, in := range inputs {
		there[in.path] = true
	}
	first := ""
	for path := range st.inputs {
		if !there[path] && (first == "" || path < first) {
			first = path
		}
	}
	return first
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
