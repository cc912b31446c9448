package backend

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var values = map[string]string{"model": "org/${model} $${", "port": "4711", "empty": ""}

func TestExpand(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, want string }{
		"nothing":       {"--host", "--host"},
		"empty":         {"", ""},
		"whole":         {"${port}", "4711"},
		"inside":        {"http://h:${port}/${port}", "http://h:4711/4711"},
		"verbatim":      {"-${model}-", "-org/${model} $${-"},
		"no value":      {"a${empty}b", "ab"},
		"doubled":       {"$${port}", "${port}"},
		"doubled, used": {"$${${port}}", "${4711}"},
		"other marks":   {"$port $(port) {port} %{port} $$", "$port $(port) {port} %{port} $$"},
		"jinja":         {"{% if x %}{{ y }}{%- endif %}", "{% if x %}{{ y }}{%- endif %}"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Expand(test.text, values)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestExpandRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, says string }{
		"unknown":     {"--port ${prot}", "${prot} is not known: use ${empty}, ${model}, ${port}, or write $${ for ${ itself"},
		"environment": {"${HOME}/models", "${HOME} is not known"},
		"no name":     {"${}", "${} is not known"},
		"spaces":      {"${ port }", "${ port } is not known"},
		"not closed":  {"x${port", `"${port" has no }`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Expand(test.text, values)
			require.ErrorContains(t, err, test.says)
		})
	}
}

// What has no mark is left alone, and what was doubled comes out as it was meant.
func FuzzExpand(f *testing.F) {
	for _, text := range []string{"", "--port", "${port}", "$${port}", "$$${port}", "${", "$$${"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Expand(text, values)
		if !strings.Contains(text, "${") {
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
		literal := strings.ReplaceAll(text, "${", "$${")
		got, err = Expand(literal, nil)
		require.NoError(t, err)
		require.Equal(t, text, got)
	})
}
