package doctor

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestNamesakesHaveAnotherRunDirectory(t *testing.T) {
	t.Parallel()
	here, err := os.Hostname()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		host, dir, own string
		is             bool
	}{
		"this process":                  {host: here, dir: "1", own: "1"},
		"one in another container":      {host: "pod", dir: "1", own: "1"},
		"one that is older":             {host: here, own: "1"},
		"one of which nothing is known": {host: here},
		"another machine":               {host: "elsewhere", dir: "2", own: "1", is: true},
		"an older hive elsewhere":       {host: "elsewhere", own: "1", is: true},
		"a copy of this disk":           {host: here, dir: "2", own: "1", is: true},
		"a machine without a name":      {own: "1", is: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := []map[string]string{{messages.MetaHost: test.host, messages.MetaRunDir: test.dir}}
			require.Equal(t, test.is, len(strangers(heard, test.own)) == 1)
		})
	}
}
