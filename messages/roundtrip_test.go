package messages

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever a hive finds out arrives as it was found, once it is text that can travel.
func TestAnswersArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		arrives(t, DecodeWorkers, func(p *WorkerPage) { p.HiveID = hiveOf(p.HiveID) })
		arrives(t, DecodeWorker, func(a *WorkerAnswer) { a.HiveID, a.Worker.WorkerID = hiveOf(a.HiveID), hiveOf(a.Worker.WorkerID) })
		arrives(t, DecodeDeleted, func(d *Deleted) {
			d.JobID, d.WorkerID, d.Signal = hiveOf(d.JobID), hiveOf(d.WorkerID), hiveOf(d.Signal)
		})
		arrives(t, DecodeLogsAnswer, func(l *Logs) { l.HiveID, l.WorkerID = hiveOf(l.HiveID), hiveOf(l.WorkerID) })
		arrives(t, DecodeHive, func(i *HiveInfo) { i.HiveID = hiveOf(i.HiveID) })
	})
}

// arrives draws an answer, makes it complete, and sends it twice: what cannot travel is replaced the first time.
func arrives[A interface{ Encode() ([]byte, error) }](t *rapid.T, decode func([]byte) (A, error), complete func(*A)) {
	var drawn A
	fill(t, reflect.ValueOf(&drawn).Elem())
	complete(&drawn)
	if _, err := drawn.Encode(); err != nil {
		require.ErrorContains(t, err, "year") // JSON writes those from 0 to 9999
		return
	}
	send := func(answer A) A {
		sent, err := answer.Encode()
		require.NoError(t, err)
		got, err := decode(sent)
		require.NoError(t, err, "%s", sent)
		return got
	}
	once := send(drawn)
	require.Equal(t, once, send(once))
}

// hiveOf returns text, or an id where there is none.
func hiveOf(text string) string {
	if text == "" {
		return "id-1"
	}
	return text
}
