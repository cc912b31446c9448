package process

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whoever asks is answered by a read that began behind the end that is asked about, and however many ask at once, few read.
func TestOneReadOfTheKernelsLogServesAllWhoseProcessesEndedBefore(t *testing.T) {
	t.Parallel()
	const ends = 500
	reads := 0
	log := kernelLog{read: func() kills {
		reads++
		return kills{all: []kill{{at: time.Duration(reads), pid: reads}}, whole: true}
	}}
	ended := time.Now()
	var group sync.WaitGroup
	for range ends {
		group.Go(func() { log.told(ended) })
	}
	group.Wait()
	require.Equal(t, 1, reads)

	require.Equal(t, 2, log.told(time.Now()).all[0].pid, "an end behind the read may not be in it")
	require.Equal(t, 2, log.told(ended).all[0].pid)
	require.Equal(t, 2, reads)
}

func TestWhatTheKernelsLogSaysOfAProcess(t *testing.T) {
	t.Parallel()
	log := kills{all: []kill{{at: 20, pid: 7}, {at: 40, pid: 8}, {at: 90, pid: 7}}, since: 10, whole: true}
	cut := log
	cut.whole = false
	for name, test := range map[string]struct {
		log           kills
		pid           int
		from, to      time.Duration
		killed, known bool
	}{
		"killed":                         {log, 7, 15, 25, true, true},
		"killed, and the pid used again": {log, 7, 15, 100, true, true},
		"the pid was another's":          {log, 7, 50, 60, false, true},
		"another":                        {log, 9, 15, 95, false, true},
		"older than the log":             {log, 9, 5, 95, false, false},
		"found in a part":                {cut, 8, 15, 95, true, true},
		"not found in a part":            {cut, 9, 15, 95, false, false},
		"unreadable":                     {kills{}, 7, 15, 25, false, false},
	} {
		killed, known := test.log.killed(test.pid, test.from, test.to)
		require.Equal(t, [2]bool{test.killed, test.known}, [2]bool{killed, known}, name)
	}
}
