package messages

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What the fast reader takes, the slow one takes as well, and reads the same. It reports whether the fast one took it.
func requireSameReading(t require.TestingT, data []byte) bool {
	var fast, strict Job
	job := decodePlain(data, fast.readPlain)
	if job {
		require.NoError(t, decodeStrict(data, &strict, jobFields, "deadline"), "%s", data)
		require.Equal(t, strict, fast, "%s", data)
	}
	var plain, slow Result
	result := decodePlain(data, plain.readPlain)
	if result {
		require.NoError(t, json.Unmarshal(data, &slow), "%s", data)
		require.Equal(t, slow, plain, "%s", data)
	}
	return job || result
}

func FuzzDecodePlain(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"model":"m","device":"cpu"}`, ` { "model" : "m" , "port" : 9001 } `, `{"port":01}`, `{"port":1.0}`, `{"port":1e2}`,
		`{"port":-1}`, `{"port":9999999999}`, `{"deadline":"2026-11-22T12:00:00+01:00"}`, `{"deadline":"soon"}`, `{"model":null}`,
		`{"model":"a","model":"b"}`, `{"Model":"m"}`, `{"model":"é"}`, `{"model":"\u0041"}`, `{"model":"m"}x`, `{"model":"m",}`,
		`{"ready_timeout_ms":5000,"wait":"ready","worker":"w","version":"1.2.3","queen_url":"http://q","worker_id":"w","hive_id":"h","job_id":"j","operation":"worker_spawn"}`,
		`{"pid":7,"replayed":true,"ended":false,"started_at":"2026-11-22T12:00:00.123456789Z","source":"catalog"}`, `{"replayed":truex}`, `{"replayed":1}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { _ = requireSameReading(t, data) })
}

// Jobs put together of what a reader might get wrong.
func TestPlainReadingIsTheStrictOne(t *testing.T) {
	t.Parallel()
	name := rapid.SampledFrom(append([]string{"Model", "", "models", "mod el", "pid", "started_at", "log_path", "replayed", "ended"}, jobFields...))
	value := rapid.SampledFrom([]string{
		`"a"`, `""`, `"2026-11-22T12:00:00Z"`, `"2026-11-22T12:00:00.5+24:00"`, `0`, `7`, `-7`, `007`, `1.5`, `1e3`, `123456789`, `1234567890`, `null`, `true`, `false`,
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
		if requireSameReading(t, []byte(text)) {
			read++
		}
	})
	require.Positive(t, read, "the fast reader reads something")
}

// A field that the fast reader has not been taught would make every message with it slow, and no other test would tell.
func TestPlainReadingKnowsEveryField(t *testing.T) {
	t.Parallel()
	full := func(v any) []byte {
		for _, field := range reflect.ValueOf(v).Elem().Fields() {
			switch field.Kind() {
			case reflect.String:
				field.SetString("x")
			case reflect.Int, reflect.Int64:
				field.SetInt(7)
			case reflect.Bool:
				field.SetBool(true)
			default:
				field.Set(reflect.ValueOf(time.Now().UTC()))
			}
		}
		data, err := encode(v)
		require.NoError(t, err)
		return data
	}
	var job, readJob Job
	require.True(t, decodePlain(full(&job), readJob.readPlain))
	require.Equal(t, job, readJob)
	var result, readResult Result
	require.True(t, decodePlain(full(&result), readResult.readPlain))
	require.Equal(t, result, readResult)
}
