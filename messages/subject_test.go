package messages_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/messages"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	plain, err := messages.NewSubjects("")
	require.NoError(t, err)
	lab, err := messages.NewSubjects("acme.lab-2.rbee")
	require.NoError(t, err)
	require.Equal(t, messages.Subjects{}, plain)
	for want, got := range map[string]string{
		"rbee.v1":                                    plain.Prefix(),
		"rbee.v1.hive.gpu-1.worker_spawn":            plain.Request("gpu-1", messages.WorkerSpawn),
		"rbee.v1.job.gpu-1.worker_spawn.j1":          plain.Queued("gpu-1", messages.WorkerSpawn, "j1"),
		"rbee.v1.result.gpu-1.j1":                    plain.Result("gpu-1", "j1"),
		"rbee.v1.narration.gpu-1.j1.worker_spawned":  plain.Narration("gpu-1", "j1", messages.ActionSpawned),
		"rbee.v1.narration.gpu-1.@hive.hive_started": plain.Narration("gpu-1", messages.AboutHive, messages.ActionHiveStarted),
		"rbee.v1.narration.*.j1.*":                   plain.Narration("", "j1", ""),
		"rbee.v1.hive.gpu-1.*":                       plain.Request("gpu-1", ""),
		"rbee.v1.result.*.*":                         plain.Result("", ""),
		"acme.lab-2.rbee":                            lab.Prefix(),
		"acme.lab-2.rbee.result.gpu-1.j1":            lab.Result("gpu-1", "j1"),
	} {
		require.Equal(t, want, got)
	}
}

func TestNewSubjectsRefuses(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{
		".", "rbee.", ".rbee", "rbee..v1", "rbee.*", ">", "rbee.>", "rbee v1", "rbée", "rbee.v1\n", "$JS.API", strings.Repeat("a", 65), "a.b.c.d.e.f.g.h.i",
	} {
		_, err := messages.NewSubjects(prefix)
		require.ErrorContains(t, err, "subject prefix", "%q", prefix)
	}
}

// No id escapes its token: a string either is refused as an id or is one whole token of every subject made from it.
func TestAnIDIsOneToken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		subjects, prefix := someSubjects(t)
		hive, job := anyText().Draw(t, "hive"), anyText().Draw(t, "job")
		if messages.CheckID(hive) != nil || messages.CheckID(job) != nil {
			return
		}
		op := messages.WorkerSpawn
		for subject, want := range map[string][]string{
			subjects.Request(hive, op):                               {"hive", hive, "worker_spawn"},
			subjects.Queued(hive, op, job):                           {"job", hive, "worker_spawn", job},
			subjects.Result(hive, job):                               {"result", hive, job},
			subjects.Narration(hive, job, messages.ActionSpawned):    {"narration", hive, job, "worker_spawned"},
			subjects.Narration(hive, messages.AboutWorker, "a_word"): {"narration", hive, "@worker", "a_word"},
		} {
			require.Equal(t, append(prefix[:len(prefix):len(prefix)], want...), strings.Split(subject, "."))
			require.True(t, valid(subject), subject)
		}
		require.Equal(t, op, subjects.Operation(subjects.Request(hive, op)))
	})
}

func TestTwoIDsNeverMakeOneSubject(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		subjects, _ := someSubjects(t)
		a, b := anyID().Draw(t, "a"), anyID().Draw(t, "b")
		other := anyID().Draw(t, "other")
		for _, subject := range []func(id string) string{
			func(id string) string { return subjects.Request(id, messages.WorkerSpawn) },
			func(id string) string { return subjects.Queued(id, messages.WorkerSpawn, other) },
			func(id string) string { return subjects.Queued(other, messages.WorkerSpawn, id) },
			func(id string) string { return subjects.Result(id, other) },
			func(id string) string { return subjects.Result(other, id) },
			func(id string) string { return subjects.Narration(id, other, messages.ActionSpawned) },
			func(id string) string { return subjects.Narration(other, id, messages.ActionSpawned) },
		} {
			require.Equal(t, a == b, subject(a) == subject(b))
		}
	})
}

func TestAPrefixIsRefusedOrStands(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(anyText(), rapid.StringMatching(`[a-z0-9_.-]{0,20}`)).Draw(t, "prefix")
		subjects, err := messages.NewSubjects(text)
		if err != nil || text == "" {
			return
		}
		require.Equal(t, text+".result.h.j", subjects.Result("h", "j"))
		require.True(t, valid(text), text)
	})
}

// An event of no job is never taken for one of a job.
func TestWhatStandsForNoJobIsNoID(t *testing.T) {
	t.Parallel()
	require.Error(t, messages.CheckID(messages.AboutHive))
	require.Error(t, messages.CheckID(messages.AboutWorker))
	require.NotEqual(t, messages.AboutHive, messages.AboutWorker)
	require.True(t, valid(messages.AboutHive))
	require.True(t, valid(messages.AboutWorker))
}

// valid reports whether subject can be published to: it has no empty word, no wildcard and no space.
func valid(subject string) bool {
	for word := range strings.SplitSeq(subject, ".") {
		if word == "" || strings.ContainsAny(word, "*> \t\r\n\x00") {
			return false
		}
	}
	return true
}

// someSubjects draws the subjects of a fleet and the words of their prefix.
func someSubjects(t *rapid.T) (messages.Subjects, []string) {
	words := rapid.SliceOfN(anyID(), 0, 8).Draw(t, "prefix")
	subjects, err := messages.NewSubjects(strings.Join(words, "."))
	require.NoError(t, err)
	if len(words) == 0 {
		words = []string{"rbee", "v1"}
	}
	return subjects, words
}

// anyText draws strings of any kind, among them many ids and many that are nearly one.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(), anyID(), rapid.StringMatching(`[A-Za-z0-9_.*> -]{1,8}`), rapid.StringMatching(`[a-z]{60,70}`),
		rapid.SampledFrom([]string{messages.AboutHive, messages.AboutWorker, "*", ">", "", "a.b", "$SYS", "a\n"}),
	)
}

// anyID draws ids.
func anyID() *rapid.Generator[string] { return rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`) }

func TestStreams(t *testing.T) {
	t.Parallel()
	streams := messages.Subjects{}.Streams()
	require.Equal(t, []string{"RBEE_JOBS", "RBEE_RESULTS", "RBEE_NARRATION", "RBEE_DEAD"}, []string{streams.Jobs, streams.Results, streams.Narration, streams.Dead})
	require.Equal(t, "rbee.v1.job.>", streams.JobSubjects())
	require.Equal(t, "rbee.v1.job.gpu-1.*.*", streams.HiveJobs("gpu-1"))
	require.Equal(t, "rbee.v1.result.>", streams.ResultSubjects())
	require.Equal(t, "rbee.v1.narration.>", streams.NarrationSubjects())
	require.Equal(t, []string{"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.RBEE_JOBS.*", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.RBEE_JOBS.*", "rbee.v1.trace.>"}, streams.DeadSubjects())

	other, err := messages.NewSubjects("lab.fleet")
	require.NoError(t, err)
	require.Equal(t, "RBEE_JOBS_lab-fleet", other.Streams().Jobs)
	require.Equal(t, "lab.fleet.job.gpu-1.*.*", other.Streams().HiveJobs("gpu-1"))
}
