package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Climbs returns the first template that the model would lead out of the directory which the template names, and where in the
// manifest it stands; an empty place means that there is none.
//
// A template that names a directory, as /srv/models/${model}.gguf does, promises a file below it. A job's model that holds ..
// would be any file of the machine. One that is a whole value, as ${model}, promises nothing. What is escaped counts, too: a
// program that is given $${model} puts in the model itself.
func (m *Manifest) Climbs(model string) (place, template string) {
	if m == nil || !strings.Contains(model, ".") {
		return "", ""
	}
	for i, template := range m.Args {
		if climbs(template, model) {
			return fmt.Sprintf("args[%d]", i), template
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Env.Set)) {
		if climbs(m.Env.Set[name], model) {
			return "env.set." + name, m.Env.Set[name]
		}
	}
	return "", ""
}

// climbs compares with a model that surely does not: the template's own .. is the administrator's business, and one that is made
// of a dot in the template and one in the model is not.
func climbs(template, model string) bool {
	const mark = "${" + ValueModel + "}"
	before, _, found := strings.Cut(template, mark)
	if !found || !strings.ContainsAny(before, `/\`) && !strings.Contains(before, "${"+ValueEntryDir+"}") {
		return false
	}
	with := func(model string) int {
		return ups(strings.NewReplacer("$"+mark, model, mark, model).Replace(template))
	}
	return with(model) > with("m")
}

// ups counts the parts of a path, of whatever system, that go up.
func ups(path string) (n int) {
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." {
			n++
		}
	}
	return n
}
