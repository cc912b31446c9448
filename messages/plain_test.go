package messages

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What the fast reader takes, the strict one takes as well, and reads the same.
func requireSameReading(t require.TestingT, data []byte) {
	var fast, strict Job
	if !decodePlain(data, &fast) {
		require.Equal(t, Job{}, fast, "what is not read leaves no trace")
		return
	}
	require.NoError(t, decodeStrict(data, &strict, jobFields, "deadline"), "%s", data)
	require.Equal(t, strict, fast, "%s", data)
}

func FuzzDecodePlain(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"model":"m","device":"cpu"}`, ` { "model" : "m" , "port" : 9001 } `, `{"port":01}`, `{"port":1.0}`, `{"port":1e2}`,
		`{"port":-1}`, `{"port":9999999999}`, `{"deadline":"2026-11-22T12:00:00+01:00"}`, `{"deadline":"soon"}`, `{"model":null}`,
		`{"model":"a","model":"b"}`, `{"Model":"m"}`, `{"model":"é"}`, `{"model":"\u0041"}`, `{"model":"m"}x`, `{"model":"m",}`,
		`{"ready_timeout_ms":5000,"wait":"ready","worker":"w","version":"1.2.3","queen_url":"http://q","worker_id":"w","hive_id":"h","job_id":"j","operation":"worker_spawn"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { requireSameReading(t, data) })
}

// Jobs put together of what a reader might get wrong.
func TestPlainReadingIsTheStrictOne(t *testing.T) {
	t.Parallel()
	name := rapid.SampledFrom(append([]string{"Model", "", "models", "mod el"}, jobFields...))
	value := rapid.SampledFrom([]string{
		`"a"`, `""`, `"2026-11-22T12:00:00Z"`, `"2026-11-22T12:00:00.5+24:00"`, `0`, `7`, `-7`, `007`, `1.5`, `1e3`, `123456789`, `1234567890`, `null`, `true`,
		`[]`, `{}`, `"\n"`, `"é"`, "\"\x7f\"", "\"\t\"", `"`, ``,
	})
	space := rapid.SampledFrom([]string{"", "", " ", "\r\n\t"})
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		var fields []string
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			s := func() string { return space.Draw(t, "space") }
			fields = append(fields, s()+`"`+name.Draw(t, "name")+`"`+s()+":"+s()+value.Draw(t, "value")+s())
		}
		text := space.Draw(t, "before") + "{" + strings.Join(fields, ",") + "}" + rapid.SampledFrom([]string{"", " ", "}", "x"}).Draw(t, "behind")
		requireSameReading(t, []byte(text))
		var job Job
		if decodePlain([]byte(text), &job) {
			read++
		}
	})
	require.Positive(t, read, "the fast reader reads something")
}
