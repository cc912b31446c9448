package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/queen"
)

func TestSharedIDsAreTold(t *testing.T) {
	t.Parallel()
	const what = ": they share the jobs of that id; give one of them another --hive-id.\n"
	for name, test := range map[string]struct {
		hives []queen.Hive
		says  string
	}{
		"each its own":           {hives: []queen.Hive{{ID: "a", Host: "one"}, {ID: "b", Host: "one"}}},
		"two processes":          {hives: []queen.Hive{{ID: "a", Host: "one", RunDir: "1"}, {ID: "a", Host: "one", RunDir: "1"}}},
		"one of them older":      {hives: []queen.Hive{{ID: "a", Host: "one"}, {ID: "a", Host: "one", RunDir: "1"}}},
		"containers on one host": {hives: []queen.Hive{{ID: "a", Host: "pod-1", RunDir: "1"}, {ID: "a", Host: "pod-2", RunDir: "1"}}},
		"two machines": {
			hives: []queen.Hive{{ID: "a", Host: "two", RunDir: "2"}, {ID: "a", Host: "one", RunDir: "1"}, {ID: "b", Host: "one"}},
			says:  "rbee: hive a is more than one hive, on one and two" + what,
		},
		"two machines, older ones": {
			hives: []queen.Hive{{ID: "a"}, {ID: "b", Host: "one"}, {ID: "b", Host: "two\x1b"}},
			says:  "rbee: hive b is more than one hive, on one and two " + what,
		},
		"copies of one disk": {
			hives: []queen.Hive{{ID: "a", Host: "one", RunDir: "1"}, {ID: "a", Host: "one", RunDir: "2"}},
			says:  "rbee: hive a is more than one hive, on one" + what,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			warnOfSharedIDs(&said, test.hives)
			require.Equal(t, test.says, said.String())
		})
	}
}
