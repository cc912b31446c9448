//go:build linux

package e2e_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// spoil puts workers into the catalog that cannot be started.
func (m *machine) spoil(t *testing.T) {
	t.Helper()
	program, err := os.ReadFile(filepath.Join(programs, "worker"))
	require.NoError(t, err)
	foreign := bytes.Clone(program)
	binary.LittleEndian.PutUint16(foreign[18:], uint16(elf.EM_LOONGARCH))
	for name, file := range map[string]struct {
		content []byte
		mode    os.FileMode
	}{
		"text-worker":     {[]byte("a worker\n"), 0o755},
		"empty-worker":    {nil, 0o755},
		"plain-worker":    {program, 0o644},
		"foreign-worker":  {foreign, 0o755},
		"open-worker":     {program, 0o777},
		"group-worker":    {program, 0o775},
		"script-worker":   {[]byte("#!/no/such/interpreter\n"), 0o755},
		"windows-worker":  {[]byte("#!/bin/sh\r\nexec sleep 60\r\n"), 0o755},
		"unloaded-worker": {withLoader(t, program, "/no/such/loader.so"), 0o755},
		"half-worker":     {program[:len(program)/2], 0o755},
		"written-worker":  {program, 0o755},
	} {
		path := m.entry(name, "1.0.0")
		require.NoError(t, os.WriteFile(path, file.content, 0o600))
		require.NoError(t, os.Chmod(path, file.mode))
	}
	require.NoError(t, os.Mkdir(m.entry("directory-worker", "1.0.0"), 0o755))
	dangling := m.entry("dangling-worker", "1.0.0")
	require.NoError(t, os.Symlink("/no/such/worker", dangling))
}

// withLoader returns the program, which is statically linked, so that it names a loader: in the place of one of its program
// headers that the kernel passes over (elf(5)).
func withLoader(t *testing.T, program []byte, loader string) []byte {
	t.Helper()
	const headerSize, headersAt, countAt = 56, 32, 56
	changed := append(bytes.Clone(program), loader+"\x00"...)
	at, count := binary.LittleEndian.Uint64(program[headersAt:]), int(binary.LittleEndian.Uint16(program[countAt:]))
	for i := range count {
		header := changed[int(at)+i*headerSize:]
		if kind := elf.ProgType(binary.LittleEndian.Uint32(header)); kind != elf.PT_NOTE && kind != elf.PT_GNU_STACK {
			continue
		}
		binary.LittleEndian.PutUint32(header, uint32(elf.PT_INTERP))
		binary.LittleEndian.PutUint64(header[8:], uint64(len(program)))
		binary.LittleEndian.PutUint64(header[32:], uint64(len(loader)+1))
		return changed
	}
	require.FailNow(t, "the worker has no program header to spare")
	return nil
}
