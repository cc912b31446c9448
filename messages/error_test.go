package messages_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// statuses is the number of each code. Both are stable: programs compare them.
var statuses = map[messages.Code]int{
	"invalid_job": 400, "unknown_operation": 400, "wrong_hive": 400, "unsupported_device": 400, "unsupported_platform": 400,
	"device_not_found": 404, "worker_not_installed": 404, "worker_not_found": 404,
	"deadline_exceeded": 408,
	"worker_conflict":   409, "port_in_use": 409,
	"binary_invalid": 422, "checksum_mismatch": 422, "build_failed": 422,
	"internal": 500, "spawn_failed": 500,
	"worker_exited": 502,
	"hive_busy":     503, "hive_draining": 503, "no_free_port": 503,
	"not_ready": 504,
}

func TestCodesAndTheirNumbers(t *testing.T) {
	t.Parallel()
	codes := constants(t, "Code")
	require.Len(t, codes, len(statuses))
	for _, code := range codes {
		require.Contains(t, statuses, messages.Code(code))
		require.Equal(t, statuses[messages.Code(code)], messages.Code(code).Status(), code)
	}
	require.Equal(t, 500, messages.Code("of_a_newer_hive").Status())
}

func TestErrorIsItsCode(t *testing.T) {
	t.Parallel()
	for _, code := range constants(t, "Code") {
		code := messages.Code(code)
		err := fmt.Errorf("spawn: %w", messages.Errorf(code, "no %s", "luck"))
		require.ErrorIs(t, err, code)
		require.EqualError(t, err, fmt.Sprintf("spawn: %s: no luck", code))
		for _, other := range constants(t, "Code") {
			if messages.Code(other) != code {
				require.NotErrorIs(t, err, messages.Code(other))
			}
		}
	}
	require.NotErrorIs(t, messages.Errorf(messages.Internal, "x"), fs.ErrNotExist)
}

func TestErrorfKeepsTheCause(t *testing.T) {
	t.Parallel()
	err := messages.Errorf(messages.SpawnFailed, "start %s: %w", "worker", fs.ErrPermission)
	require.Equal(t, "start worker: permission denied", err.Message)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorIs(t, err, messages.SpawnFailed)
	require.NoError(t, messages.Errorf(messages.Internal, "no cause").Unwrap())
}

func TestAMessageIsOneLine(t *testing.T) {
	t.Parallel()
	const lines = "line 1:\n\tline 2\r\n\x1b[31mline 3\n"
	require.Equal(t, "line 1: line 2 [31mline 3", messages.Errorf(messages.Internal, "%s", lines).Message)
	require.Equal(t, "line 1: line 2 [31mline 3", messages.AsError(errors.New(lines)).Message)
	require.Equal(t, "a: line 1: line 2 [31mline 3", messages.AsError(fmt.Errorf("a: %w", errors.New(lines))).Message)
}

func TestAsErrorLosesNothing(t *testing.T) {
	t.Parallel()
	code := 3
	inner := &messages.Error{
		Code: messages.WorkerExited, Message: "exited", ExitCode: &code, Signal: "SIGTERM", LogTail: []string{"bye"}, Tried: []string{"/x"},
		Retryable: true,
	}
	wrapped := fmt.Errorf("second try: %w", fmt.Errorf("port 9001: %w", inner))
	want := *inner
	want.Message, want.Cause = "second try: port 9001: exited", wrapped
	for what, test := range map[string]struct {
		err  error
		want *messages.Error
	}{
		"one of ours":       {inner, inner},
		"wrapped":           {wrapped, &want},
		"one of others":     {fs.ErrExist, &messages.Error{Code: messages.Internal, Message: "file already exists", Cause: fs.ErrExist}},
		"a joined one":      {errors.Join(inner, fs.ErrExist), nil},
		"only a code":       {messages.NoFreePort, nil},
		"a code and a text": {fmt.Errorf("no luck: %w", messages.NoFreePort), nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got := messages.AsError(test.err)
			if test.want != nil {
				require.Equal(t, test.want, got)
			}
			require.ErrorIs(t, got, test.err)
			require.ErrorIs(t, got, got.Code)
		})
	}
}
