package spawner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogTail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3<<10)
	for name, test := range map[string]struct {
		log  string
		from int64
		want []string
	}{
		"no log":                 {"", 0, nil},
		"one line":               {"one\n", 0, []string{"one"}},
		"no end of line":         {"one\ntwo", 0, []string{"one", "two"}},
		"windows lines":          {"one\r\ntwo\r\n", 0, []string{"one", "two"}},
		"only its own":           {"before\nmine\n", 7, []string{"mine"}},
		"the last twenty":        {strings.Repeat("old\n", 30) + strings.Repeat("new\n", 20), 0, strings.Fields(strings.Repeat("new ", 20))},
		"colours":                {"\x1b[31merror:\x1b[0m no \x1b]0;title\x07memory\n", 0, []string{"error: no memory"}},
		"tabs, bells, nonsense":  {"a\tb\a\xffc\n", 0, []string{"a b�c"}},
		"credentials":            {"GET https://me:secret@hub/model\n", 0, []string{"GET https://***@hub/model"}},
		"empty lines at the end": {"one\n\n\r\n", 0, []string{"one"}},
		"only empty lines":       {"\n\n", 0, nil},
		"a very long line":       {long + "\n", 0, []string{long[:1<<10] + "…"}},
		"more than is read":      {strings.Repeat(long+"\n", 5), 0, []string{long[:1<<10] + "…", long[:1<<10] + "…"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.WriteFile(path, []byte(test.log), 0o600))
			require.Equal(t, test.want, logTail(path, test.from))
		})
	}
	require.Nil(t, logTail(filepath.Join(t.TempDir(), "none"), 0))
}
