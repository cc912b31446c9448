package messages_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// seed gives f the golden files and what else is known to be odd.
func seed(f *testing.F) {
	f.Helper()
	for name, text := range goldens(f) {
		if strings.HasSuffix(name, ".json") {
			f.Add([]byte(text))
		}
	}
	for _, payload := range accepted() {
		f.Add([]byte(payload))
	}
	for _, refused := range refusals() {
		if len(refused.payload) < 4<<10 {
			f.Add([]byte(refused.payload))
		}
	}
	for _, k := range requests() {
		for _, payload := range k.accepted() {
			if len(payload) < 4<<10 {
				f.Add([]byte(payload))
			}
		}
		for _, refused := range k.refusals() {
			if len(refused.payload) < 4<<10 {
				f.Add([]byte(refused.payload))
			}
		}
	}
}

func FuzzDecodeJob(f *testing.F) {
	seed(f)
	schema := resolve(f, schemas(f)["job"])
	f.Fuzz(func(t *testing.T, data []byte) {
		job, err := messages.DecodeJob(data, messages.WorkerSpawn)
		if err != nil {
			e := requireError(t, messages.InvalidJob, err)
			require.Less(t, len(e.Message), 512)
			require.Equal(t, messages.Job{JobID: job.JobID, WorkerID: job.WorkerID}, job, "nothing but the ids of what was refused")
			require.NoError(t, orEmpty(job.JobID))
			require.NoError(t, orEmpty(job.WorkerID))
			return
		}
		require.NoError(t, job.Validate())
		sent, err := job.Encode()
		require.NoError(t, err)
		again, err := messages.DecodeJob(sent, messages.WorkerSpawn)
		require.NoError(t, err)
		require.Equal(t, job, again)
		require.NoError(t, validate(t, schema, sent), "%s", sent)
	})
}

func FuzzDecodeResult(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		result, err := messages.DecodeResult(data)
		failure, isFailure := errors.AsType[*messages.Error](err)
		switch {
		case isFailure:
			sent, err := messages.Failure{JobID: result.JobID, HiveID: result.HiveID, Err: failure}.Encode()
			require.NoError(t, err)
			again, err := messages.DecodeResult(sent)
			require.Equal(t, withoutEmpty(failure), err)
			require.Equal(t, result, again)
		case err == nil:
			result.StartedAt = writable(result.StartedAt)
			sent, err := result.Encode()
			require.NoError(t, err)
			again, err := messages.DecodeResult(sent)
			require.NoError(t, err)
			require.Equal(t, result, again)
		}
	})
}

// FuzzDecodeRequest gives each payload to every decoder of a request other than a job.
func FuzzDecodeRequest(f *testing.F) {
	seed(f)
	all, valid := requests(), map[string]*jsonschema.Resolved{}
	for kind := range all {
		valid[kind] = resolve(f, schemas(f)[kind])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for kind, k := range all {
			got, err := k.decode(data, k.op)
			if err != nil {
				require.Less(t, len(requireError(t, messages.InvalidJob, err).Message), 512)
				job, _ := got.(messages.DeleteJob)
				require.NoError(t, orEmpty(job.JobID))
				require.NoError(t, orEmpty(job.WorkerID))
				continue
			}
			sent, err := got.Encode()
			require.NoError(t, err)
			again, err := k.decode(sent, k.op)
			require.NoError(t, err)
			require.Equal(t, got, again)
			require.NoError(t, validate(t, valid[kind], sent), "%s", sent)
		}
	})
}

// FuzzDecodeAnswer gives each payload to every decoder of an answer but the result.
func FuzzDecodeAnswer(f *testing.F) {
	seed(f)
	all := answers()
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, decode := range all {
			got, err := decode(data)
			if err != nil {
				if failure, ok := errors.AsType[*messages.Error](err); ok {
					require.NotNil(t, failure)
				}
				continue
			}
			sent, err := got.Encode()
			if err != nil {
				require.ErrorContains(t, err, "year") // a zone can take a moment beyond the years that JSON writes
				continue
			}
			again, err := decode(sent)
			require.NoError(t, err)
			twice, err := again.Encode()
			require.NoError(t, err)
			require.Equal(t, string(sent), string(twice))
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		event, err := messages.DecodeEvent(data)
		if err != nil {
			return
		}
		event.Time = writable(event.Time)
		sent, err := event.Encode()
		require.NoError(t, err)
		again, err := messages.DecodeEvent(sent)
		require.NoError(t, err)
		event.Fields.Args = nilIfEmpty(event.Fields.Args)
		event.Fields.Error = withoutEmpty(event.Fields.Error)
		require.Equal(t, event, again)
	})
}

func FuzzDecodeHeartbeat(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		beat, err := messages.DecodeHeartbeat(data)
		if err != nil {
			require.Less(t, len(err.Error()), 512)
			return
		}
		beat.Timestamp = writable(beat.Timestamp)
		sent, err := beat.Encode()
		require.NoError(t, err)
		again, err := messages.DecodeHeartbeat(sent)
		require.NoError(t, err)
		require.Equal(t, beat, again)
	})
}

// writable returns the moment in UTC, or noon where that has a year that JSON cannot write: a zone can take a moment of the
// years 0 to 9999 beyond them. Only a job's time is checked for that; a clock that is so wrong is nobody's input.
func writable(moment time.Time) time.Time {
	moment = moment.UTC()
	if year := moment.Year(); year < 0 || year > 9999 {
		return noon
	}
	return moment
}

// withoutEmpty returns e as it arrives once it has travelled, without its empty lists.
func withoutEmpty(e *messages.Error) *messages.Error {
	if e == nil {
		return nil
	}
	sent := *e
	sent.LogTail, sent.Tried, sent.Command = nilIfEmpty(sent.LogTail), nilIfEmpty(sent.Tried), nilIfEmpty(sent.Command)
	return &sent
}

func nilIfEmpty(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func orEmpty(id string) error {
	if id == "" {
		return nil
	}
	return messages.CheckID(id)
}
