package messages

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The encoders written by hand must write what encoding/json writes, whatever they are given.
func TestAppendJSONWritesWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(*testing.T){
		"event": sameAsEncodingJSON[Event], "job": sameAsEncodingJSON[Job], "result": sameAsEncodingJSON[Result],
		"worker": sameAsEncodingJSON[Worker], "page": sameAsEncodingJSON[WorkerPage],
	} {
		t.Run(name, check)
	}
}

func sameAsEncodingJSON[T interface{ AppendJSON([]byte) ([]byte, error) }](t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var v T
		fill(t, reflect.ValueOf(&v).Elem()) // every field, by reflection, so that one added later is drawn, too
		want, wantErr := encode(v)
		got, err := v.AppendJSON([]byte("before"))
		require.Equal(t, wantErr == nil, err == nil)
		if err == nil {
			require.Equal(t, "before"+string(want), string(got))
		}
	})
}

func fill(t *rapid.T, v reflect.Value) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z]{0,5}`), rapid.SampledFrom([]string{"", "\x00", "\xff", "\u2028", "🚀 '<&>'", "a\"b\\c"}))
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(rapid.Int64Range(-1e11, 3e11).Draw(t, "sec"), rapid.Int64Range(0, 1e9-1).Draw(t, "nsec")).UTC()))
		return
	case reflect.TypeFor[*Error]():
		if rapid.Bool().Draw(t, "has error") {
			v.Set(reflect.ValueOf(&Error{Code: PortInUse, Message: text.Draw(t, "message"), Tried: []string{text.Draw(t, "tried")}}))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Fields]() && rapid.Bool().Draw(t, "no fields") {
			return
		}
		for _, field := range v.Fields() {
			fill(t, field)
		}
	case reflect.String:
		v.SetString(text.Draw(t, "text"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, "number"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "pointer") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(t, item)
			v.Set(reflect.Append(v, item))
		}
	default:
		t.Fatalf("an event holds a %s: teach the encoder and this test", v.Kind())
	}
}
