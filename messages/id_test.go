package messages_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/messages"
)

func TestCheckID(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	for b := range 256 {
		id := string([]byte{byte(b)})
		require.Equal(t, strings.Contains(alphabet, id), messages.CheckID(id) == nil, "%q", id)
	}
	require.Error(t, messages.CheckID(""))
	require.NoError(t, messages.CheckID(alphabet))
	require.Len(t, alphabet, messages.MaxID)
	require.EqualError(t, messages.CheckID(alphabet+"x"), "has 65 bytes: use 1 to 64 letters, digits, '_' or '-'")
	require.EqualError(t, messages.CheckID("a\nb"), `"a\nb" is not an id: use 1 to 64 letters, digits, '_' or '-'`)
}

func TestJobIDsAreNewAndSort(t *testing.T) {
	t.Parallel()
	before := messages.NewJobID()
	for range 1000 {
		id := messages.NewJobID()
		require.NoError(t, messages.CheckID(id))
		require.Regexp(t, "^job-[0-9a-f-]{36}$", id)
		require.Less(t, before, id)
		before = id
	}
}

// Workers outlive the programs that named them: a job that is sent again after an upgrade must find its worker.
func TestWorkerIDStaysTheSame(t *testing.T) {
	t.Parallel()
	for want, of := range map[string][2]string{
		"worker-f6bbc4a2-467c-5be8-a56c-910730787d2f": {"gpu-1", "job-1"},
		"worker-af28e5b1-6250-5eb4-b2fa-319e3e9b8739": {"gpu-2", "job-1"},
	} {
		require.Equal(t, want, messages.WorkerID(of[0], of[1]))
	}
}

func TestWorkerIDIsAlwaysAnID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hive, job := anyText().Draw(t, "hive"), anyText().Draw(t, "job")
		id := messages.WorkerID(hive, job)
		require.NoError(t, messages.CheckID(id))
		require.Equal(t, id, messages.WorkerID(hive, job))
	})
}

func TestWorkerIDTellsJobsApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Short ids, so that parts of one often stand in the other: ab of c, a of bc.
		id := rapid.StringMatching(`[ab-]{1,3}`)
		one := [2]string{id.Draw(t, "hive"), id.Draw(t, "job")}
		two := [2]string{id.Draw(t, "other hive"), id.Draw(t, "other job")}
		require.Equal(t, one == two, messages.WorkerID(one[0], one[1]) == messages.WorkerID(two[0], two[1]), fmt.Sprint(one, two))
	})
}
