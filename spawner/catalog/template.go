package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// Names of the values that stand in a template for ${name}.
const (
	ValueWorkerID    = "worker_id"
	ValueJobID       = "job_id"
	ValueHiveID      = "hive_id"
	ValueModel       = "model"
	ValueDevice      = "device"
	ValueDeviceIndex = "device_index"
	ValueDeviceUUID  = "device_uuid"
	ValuePort        = "port"
	ValueQueenURL    = "queen_url"
	ValueEntryDir    = "entry_dir"
)

// Values lists the names that a template may hold.
var Values = []string{
	ValueWorkerID, ValueJobID, ValueHiveID, ValueModel, ValueDevice, ValueDeviceIndex, ValueDeviceUUID, ValuePort, ValueQueenURL,
	ValueEntryDir,
}

// ValueError is the error of [Expand] for a value that cannot be had.
type ValueError struct {
	Name string
	Err  error
}

// Error names the value and says why there is none.
func (e *ValueError) Error() string { return fmt.Sprintf("${%s}: %v", e.Name, e.Err) }

// Unwrap returns Err.
func (e *ValueError) Unwrap() error { return e.Err }

// Expand returns the template with each ${name} replaced by what value returns for that name. $${ stands for ${ itself,
// and any other $ for itself. What was put in is not looked at again: whatever it holds, it stays a part of this one text,
// so that a template is always one argument. The error is a [*ValueError] if value returns one.
func Expand(template string, value func(name string) (string, error)) (string, error) {
	var expanded strings.Builder
	err := walk(template, func(literal, name string) error {
		expanded.WriteString(literal)
		if name == "" {
			return nil
		}
		text, err := value(name)
		if err != nil {
			return &ValueError{Name: name, Err: err}
		}
		expanded.WriteString(text)
		return nil
	})
	if err != nil {
		return "", err
	}
	return expanded.String(), nil
}

// checkTemplate returns an error for what Expand could not expand.
func checkTemplate(template string) error {
	return walk(template, func(_, name string) error {
		if name == "" || slices.Contains(Values, name) {
			return nil
		}
		return fmt.Errorf("${%s} stands for nothing; the known names are %s (write $${ for ${ itself)", shorten(name), strings.Join(Values, ", "))
	})
}

// walk visits the parts of a template: a literal text, and the name behind it, which is empty at the end or where an
// escape cut the text.
func walk(template string, visit func(literal, name string) error) error {
	for {
		at := strings.Index(template, "${")
		if at < 0 {
			return visit(template, "")
		}
		if at > 0 && template[at-1] == '$' {
			if err := visit(template[:at-1]+"${", ""); err != nil {
				return err
			}
			template = template[at+len("${"):]
			continue
		}
		name, rest, closed := strings.Cut(template[at+len("${"):], "}")
		if !closed || name == "" {
			return fmt.Errorf("%s is not closed or has no name: write ${model}, or $${ for ${ itself", shorten(template[at:]))
		}
		if err := visit(template[:at], name); err != nil {
			return err
		}
		template = rest
	}
}
