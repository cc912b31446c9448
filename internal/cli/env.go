package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// variableKey is the annotation of a flag that holds its environment variable.
const variableKey = "variable"

// Variables lets environment variables stand for flags of fs that are not given. The map goes from a flag's name to its
// variable, which --help shows. An empty variable is no variable.
func Variables(fs *pflag.FlagSet, variables map[string]string) {
	for name, variable := range variables {
		flag := fs.Lookup(name)
		if flag == nil {
			panic("cli: no flag --" + name)
		}
		flag.Usage += " [$" + variable + "]"
		_ = fs.SetAnnotation(name, variableKey, []string{variable})
	}
}

// fromEnvironment sets each flag that was not given from its variable. The error names the variable.
func fromEnvironment(fs *pflag.FlagSet) error {
	var errs []error
	fs.VisitAll(func(flag *pflag.Flag) {
		variable := slices.Concat(flag.Annotations[variableKey], []string{""})[0]
		value := os.Getenv(variable)
		if variable == "" || value == "" || flag.Changed {
			return
		}
		if err := fs.Set(flag.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", variable, flagError(err)))
		}
	})
	return errors.Join(errs...)
}

// flagError says of a flag's value what it must be, in place of what the parser of package strconv says.
func flagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	reason := invalid.Unwrap().Error()
	switch kind := invalid.GetFlag().Value.Type(); {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		reason = "want a whole number"
		if errors.Is(err, strconv.ErrRange) {
			reason = "the number is too large or too small"
		}
	case kind == "duration":
		reason = "want a duration such as 500ms, 30s or 2m"
	case kind == "bool":
		reason = "want true or false"
	}
	return fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), reason)
}

// HomeDir returns the user's home directory, or "" if there is none.
func HomeDir() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home
}
