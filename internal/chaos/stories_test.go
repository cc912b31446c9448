//go:build linux

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// at is a moment of the tests' time, in milliseconds.
func at(ms int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(ms) * time.Millisecond) }

// told are events that each come a millisecond behind the one before: "1.2" is event 2 of attempt 1, with "!" behind it the end, with
// "r" a retry. A number alone is a moment in milliseconds.
func told(t *testing.T, texts ...string) (events []messages.Event) {
	t.Helper()
	now := 0
	for i, text := range texts {
		var e messages.Event
		var mark string
		if n, _ := fmt.Sscanf(text, "%d.%d%s", &e.Attempt, &e.Seq, &mark); n < 2 {
			_, err := fmt.Sscan(text, &now)
			require.NoError(t, err, text)
			continue
		}
		e.ID, e.Time, e.Terminal = fmt.Sprint(i), at(now), mark == "!"
		if mark == "r" {
			e.Action = messages.ActionRetry
		}
		now++
		events = append(events, e)
	}
	return events
}

func TestRead(t *testing.T) {
	t.Parallel()
	hive := func(ms int) death { return death{at: at(ms)} }
	server := func(ms int) death { return death{server: true, at: at(ms)} }
	tests := map[string]struct {
		events       []string
		deaths       []death
		wrong        string
		lost, untold int
		spent        bool
	}{
		"a whole story":                        {events: []string{"1.1", "1.2", "1.3!"}},
		"two attempts":                         {events: []string{"1.1", "1.2r", "2.1", "2.2!"}},
		"two stories, one in the other":        {events: []string{"1.1", "2.1", "1.2", "2.2!", "1.3!"}},
		"two stories of one attempt":           {events: []string{"2.1", "2.2!", "2.1", "2.2!"}},
		"a hive was killed":                    {events: []string{"1.1", "1.2", "2.1", "2.2!"}, deaths: []death{hive(2)}, untold: 1},
		"a hive was killed, but before":        {events: []string{"1000", "1.1", "1.2", "2.1", "2.2!"}, deaths: []death{hive(2)}, wrong: "attempt 1 ends with event 2"},
		"no end":                               {events: []string{"1.1", "1.2"}, wrong: "nobody died"},
		"no end although another hive came":    {events: []string{"1.1", "1.2"}, deaths: []death{hive(5)}, untold: 1, wrong: "no story of it has an end"},
		"no end of a job that is spent":        {events: []string{"1.1", "1.2"}, deaths: []death{hive(5)}, untold: 1, spent: true},
		"no end, and nobody died":              {events: []string{"1.1", "1.2r"}, spent: true, wrong: "no story of it has an end"},
		"the second of one attempt goes on":    {events: []string{"1.1", "2000", "1.1", "1.2!"}, deaths: []death{hive(5)}, untold: 1},
		"nothing":                              {wrong: "no story of it has an end"},
		"a gap":                                {events: []string{"1.1", "1.3!"}, wrong: "has no event 2 before it"},
		"no beginning":                         {events: []string{"1.2", "1.3!"}, wrong: "has no event 1 before it"},
		"a gap, and a hive was killed":         {events: []string{"1.1", "1.3!"}, deaths: []death{hive(1)}, wrong: "has no event 2 before it"},
		"a gap around a server's death":        {events: []string{"1.1", "3000", "1.4", "1.5!"}, deaths: []death{server(1000)}, lost: 2},
		"a gap far from a server's death":      {events: []string{"1.1", "1.4", "1.5!"}, deaths: []death{server(1000)}, wrong: "has no event 3 before it"},
		"a beginning lost with a server":       {events: []string{"1.3", "1.4!"}, deaths: []death{server(0)}, lost: 2},
		"an end lost with a server":            {events: []string{"1.1", "1.2"}, deaths: []death{server(100)}, untold: 1},
		"an end lost long after a server died": {events: []string{"5000", "1.1", "1.2"}, deaths: []death{server(100)}, wrong: "nobody died"},
		"something behind the end":             {events: []string{"1.1", "1.2!", "1.3"}, wrong: "has no event 2 before it"},
		"two ends":                             {events: []string{"1.1", "1.2!", "1.3!"}, wrong: "has no event 2 before it"},
		"something behind a retry":             {events: []string{"1.1", "1.2r", "1.3!"}, wrong: "has no event 2 before it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := read(told(t, test.events...), test.deaths, test.spent)
			if test.wrong == "" {
				require.Empty(t, r.wrong)
			} else {
				require.NotEmpty(t, r.wrong)
				require.Contains(t, fmt.Sprint(r.wrong), test.wrong)
			}
			require.Equal(t, test.lost, r.lost)
			require.Equal(t, test.untold, r.untold)
		})
	}
	twice := told(t, "1.1", "1.2!", "2.1", "2.2!")
	twice[2].ID = twice[0].ID
	require.Contains(t, fmt.Sprint(read(twice, nil, false).wrong), "there twice")
}
