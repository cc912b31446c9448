package binary_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	worker "github.com/rbee-keeper/hive/spawner/binary"
)

func TestCheckAcceptsThisProgram(t *testing.T) {
	t.Parallel()
	require.NoError(t, worker.Check(self(t)))
}

func TestCheckOfFormats(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		content []byte
		runsOn  string // The platform on which it is accepted.
		shows   string // What the refusal names elsewhere.
	}{
		"ELF for amd64":     {elf(62, noLoader), "elf/amd64", "amd64"},
		"ELF for arm64":     {elf(183, noLoader), "elf/arm64", "arm64"},
		"ELF for riscv64":   {elf(243, noLoader), "elf/riscv64", "riscv64"},
		"ELF for a toaster": {elf(0xbeef, noLoader), "", "machine 48879"},
		"Mach-O for amd64":  {machO(0x01000007), "darwin/amd64", "amd64"},
		"Mach-O for arm64":  {machO(0x0100000c), "darwin/arm64", "arm64"},
		"Mach-O for ppc":    {machO(18), "", "processor 0x12"},
		"Mach-O for both":   {fatMachO(0xcafebabe, 20), "darwin/amd64 darwin/arm64", "amd64 and arm64"},
		"Mach-O, fat 64":    {fatMachO(0xcafebabf, 32), "darwin/amd64 darwin/arm64", "amd64 and arm64"},
		"PE for amd64":      {pe(0x8664, 0x80), "windows/amd64", "amd64"},
		"PE for arm64":      {pe(0xaa64, 0x80), "windows/arm64", "arm64"},
		"PE for 386":        {pe(0x014c, 0x80), "windows/386", "386"},
		"PE, header far in": {pe(0x8664, 5000), "windows/amd64", "amd64"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := worker.Check(write(t, "worker", test.content, 0o755))
			if strings.Contains(test.runsOn, here()) {
				require.NoError(t, err)
				return
			}
			requireCause(t, err, worker.WrongArchitecture)
			require.ErrorContains(t, err, test.shows)
			require.ErrorContains(t, err, runtime.GOOS+"/"+runtime.GOARCH)
		})
	}
}

func TestCheckRefusesContent(t *testing.T) {
	t.Parallel()
	javaClass := binary.BigEndian.AppendUint32([]byte{0xca, 0xfe, 0xba, 0xbe}, 61)
	tests := map[string]struct {
		content []byte
		cause   worker.Cause
	}{
		"empty":                     {nil, worker.Empty},
		"one byte":                  {[]byte("#"), worker.UnknownFormat},
		"text":                      {[]byte("echo hello\n"), worker.UnknownFormat},
		"a byte order mark":         {[]byte("\xef\xbb\xbf#!/bin/sh\n"), worker.UnknownFormat},
		"a Java class":              {append(javaClass, make([]byte, 100)...), worker.UnknownFormat},
		"text that begins with MZ":  {[]byte(strings.Repeat("MZ", 100)), worker.UnknownFormat},
		"a short MZ":                {[]byte("MZ"), worker.UnknownFormat},
		"ELF, its first four bytes": {[]byte("\x7fELF"), worker.Damaged},
		"ELF, an object file":       {patch(elf(62, noLoader), 16, 1), worker.Damaged},
		"Mach-O, cut short":         {machO(0x01000007)[:20], worker.Damaged},
		"Mach-O, an object file":    {patch(machO(0x01000007), 12, 1), worker.Damaged},
		"Mach-O, fat without any":   {fatMachO(0xcafebabe, 20)[:8], worker.Damaged},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireCause(t, worker.Check(write(t, "worker", test.content, 0o755)), test.cause)
		})
	}
}

func TestCheckOfWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, "file", []byte("text"), 0o755)
	err := worker.Check(filepath.Join(dir, "none"))
	requireCause(t, err, worker.Missing)
	require.ErrorIs(t, err, fs.ErrNotExist)

	err = worker.Check(filepath.Join(file, "below", "a", "file"))
	requireCause(t, err, worker.Missing)
	require.ErrorIs(t, err, fs.ErrNotExist)

	requireCause(t, worker.Check(dir), worker.Directory)
	require.NotErrorIs(t, worker.Check(dir), fs.ErrNotExist)
	requireCause(t, worker.Check(""), worker.Missing)
}

// A message stays on its line, whatever the file is called.
func TestErrorIsOneLine(t *testing.T) {
	t.Parallel()
	err := worker.Check(filepath.Join(t.TempDir(), "two\nlines"))
	requireCause(t, err, worker.Missing)
	require.ErrorContains(t, err, `two\nlines`)
}

func TestCauseIsFoundInAWrappedError(t *testing.T) {
	t.Parallel()
	err := errors.Join(errors.New("other"), worker.Check(t.TempDir()))
	cause, ok := errors.AsType[worker.Cause](err)
	require.True(t, ok)
	require.Equal(t, worker.Directory, cause)
	require.NotErrorIs(t, err, worker.Missing)
	require.Empty(t, (&worker.Error{}).Unwrap())
}

// No prefix of a program is a program: an entry that is half written is never taken for a whole one.
func TestCheckOfEveryPrefix(t *testing.T) {
	t.Parallel()
	whole := nativeProgram(t)
	path := filepath.Join(t.TempDir(), "worker")
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(0, len(whole)-1).Draw(t, "length")
		require.NoError(t, os.WriteFile(path, whole[:length], 0o755))
		require.ErrorAs(t, worker.Check(path), new(*worker.Error))
	})
	require.NoError(t, os.WriteFile(path, whole, 0o755))
	require.NoError(t, worker.Check(path))
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	start := func(errno error) error { return &fs.PathError{Op: "fork/exec", Path: "/x", Err: errno} }
	for _, errno := range []error{syscall.ETXTBSY, syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		require.True(t, worker.Retryable(start(errno)), errno)
		explained := worker.Explain(self(t), "", start(errno))
		require.True(t, worker.Retryable(explained), errno)
		require.ErrorIs(t, explained, errno)
	}
	for _, errno := range []error{syscall.ENOENT, syscall.EACCES, syscall.ENOEXEC, syscall.E2BIG, errors.New("other"), nil} {
		require.False(t, worker.Retryable(errno), errno)
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range [][]byte{
		nil, elf(62, noLoader), elf(183, "/lib/ld.so"), machO(0x0100000c), fatMachO(0xcafebabe, 20), pe(0x8664, 0x80),
		[]byte("#!/bin/sh\n"), []byte("#! \t\n"), []byte("#!/bin/sh\r\n"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		err := worker.Check(write(t, "worker", content, 0o755))
		if err != nil {
			requireOneLine(t, err)
			require.ErrorAs(t, err, new(*worker.Error))
		}
		requireOneLine(t, worker.Explain(write(t, "worker", content, 0o755), t.TempDir(), syscall.ENOEXEC))
	})
}

func BenchmarkCheck(b *testing.B) {
	large := filepath.Join(b.TempDir(), "large")
	content, err := os.ReadFile(self(b))
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(large, content, 0o755))
	require.NoError(b, os.Truncate(large, 100<<20))
	for name, path := range map[string]string{"program": self(b), "100MB": large} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := worker.Check(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func requireCause(t *testing.T, err error, cause worker.Cause) {
	t.Helper()
	var e *worker.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, cause, e.Cause, "%v", err)
	require.ErrorIs(t, err, cause)
	requireOneLine(t, err)
}

func requireOneLine(t *testing.T, err error) {
	t.Helper()
	require.NotEmpty(t, err.Error())
	require.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl), "%q", err.Error())
}
