//go:build linux

package spawner_test

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// documented returns what the table of actions in docs/wire.md says that each may tell: the texts of its third column, in which
// <…> is any value and … what is left out.
var documented = sync.OnceValues(func() (map[messages.Action]*regexp.Regexp, error) {
	page, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		return nil, err
	}
	texts := make(map[messages.Action]*regexp.Regexp)
	value, quoted := regexp.MustCompile(`<[^>]*>`), regexp.MustCompile("`([^`]*)`")
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (?:info|warn|error)[^|]*\\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		var forms []string
		for _, text := range quoted.FindAllStringSubmatch(row[2], -1) {
			form := regexp.QuoteMeta(value.ReplaceAllString(text[1], "\x00"))
			forms = append(forms, strings.NewReplacer("\x00", "(?s:.+)", "…", "(?s:.+)").Replace(form))
		}
		// A text that begins with a space or a comma may follow any other.
		var whole, behind []string
		for _, form := range forms {
			if strings.HasPrefix(form, " ") || strings.HasPrefix(form, ",") {
				behind = append(behind, form)
			} else {
				whole = append(whole, form)
			}
		}
		pattern := "^(?:" + strings.Join(whole, "|") + ")"
		if behind != nil {
			pattern += "(?:" + strings.Join(behind, "|") + ")?"
		}
		texts[messages.Action(row[1])] = regexp.MustCompile(pattern + "$")
	}
	return texts, nil
})

// requireDocumented requires that an event says what docs/wire.md says that it says.
func requireDocumented(t *testing.T, e messages.Event) {
	t.Helper()
	texts, err := documented()
	require.NoError(t, err)
	require.Greater(t, len(texts), 25)
	require.Contains(t, texts, e.Action, "docs/wire.md has no such action")
	require.Regexp(t, texts[e.Action], e.Human, "docs/wire.md has another text")
}

func TestTheTextsOfAnotherEventAreNotDocumented(t *testing.T) {
	t.Parallel()
	texts, err := documented()
	require.NoError(t, err)
	for human, want := range map[string]bool{
		"Worker 'w' has been loading for 11s: it has computed for 1.8s and written 4193 bytes to its log": true,
		"Worker 'w' is loading: 10.5s": false,
	} {
		require.Equal(t, want, texts[messages.ActionLoading].MatchString(human), human)
	}
	for human, want := range map[string]bool{
		"Worker 'w' (PID: 1) exited with code 1 after 2.3s":                           true,
		"Worker 'w' (PID: 1) was ended by SIGKILL after 2.3s, because memory ran out": true,
		"Worker 'w' (PID: 1) was ended":                                               false,
	} {
		require.Equal(t, want, texts[messages.ActionExited].MatchString(human), human)
	}
}
