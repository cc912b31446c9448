package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	value := func(name string) (string, error) { return "<" + name + ">", nil }
	for template, want := range map[string]string{
		"":                      "",
		"plain":                 "plain",
		"${model}":              "<model>",
		"a${model}b${port}c":    "a<model>b<port>c",
		"${model}${model}":      "<model><model>",
		"$model $ {model} 5$ $": "$model $ {model} 5$ $",
		"$${model}":             "${model}",
		"$$${model}":            "$${model}",
		"$${a}${port}$${b}":     "${a}<port>${b}",
		"}{":                    "}{",
	} {
		got, err := catalog.Expand(template, value)
		require.NoError(t, err, template)
		require.Equal(t, want, got, template)
	}
	_, err := catalog.Expand("${device_uuid}", func(string) (string, error) { return "", errors.New("no driver") })
	require.EqualError(t, err, "${device_uuid}: no driver")
	require.ErrorAs(t, err, new(*catalog.ValueError))
}

// A value stays what it is inside the one argument that its template is: nothing in it is looked at again, be it spaces,
// quotes, or another ${name}.
func TestAValueStaysInsideItsArgument(t *testing.T) {
	t.Parallel()
	literal := rapid.StringMatching(`[^$]*`)
	name := rapid.SampledFrom(catalog.Values)
	rapid.Check(t, func(t *rapid.T) {
		values := make(map[string]string)
		for _, name := range catalog.Values {
			values[name] = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "${port}", "$${model}", "a b", `"`, "'; rm -rf /", "--flag", "$", "\\"})).Draw(t, name)
		}
		var template, want strings.Builder
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				text := literal.Draw(t, "text")
				template.WriteString(text)
				want.WriteString(text)
			case 1:
				name := name.Draw(t, "name")
				template.WriteString("${" + name + "}")
				want.WriteString(values[name])
			default:
				template.WriteString("$${x}")
				want.WriteString("${x}")
			}
		}
		got, err := catalog.Expand(template.String(), func(name string) (string, error) { return values[name], nil })
		require.NoError(t, err)
		require.Equal(t, want.String(), got)
	})
}
