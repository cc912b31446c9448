package binary_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const noLoader = ""

// elf returns a program of 64-bit little-endian ELF, as small as one can be: one segment, which is the whole file, and
// the name of a loader unless that is empty. It cannot do anything.
func elf(machine uint16, loader string) []byte {
	const headerSize, each = 64, 56
	type programHeader struct {
		Kind, Flags                                         uint32
		Offset, Address, Physical, FileSize, Memory, Aligns uint64
	}
	count := 1
	if loader != "" {
		count, loader = 2, loader+"\x00"
	}
	start := uint64(headerSize + count*each)
	size := start + uint64(len(loader)) + 16
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01" + string(make([]byte, 9)))
	put(&b, []uint16{2, machine}, uint32(1), []uint64{0x400000 + start, headerSize, 0}, uint32(0),
		[]uint16{headerSize, each, uint16(count), 0, 0, 0})
	if loader != "" {
		put(&b, programHeader{3, 4, start, 0x400000 + start, 0, uint64(len(loader)), uint64(len(loader)), 1})
	}
	put(&b, programHeader{1, 5, 0, 0x400000, 0, size, size, 0x1000}, []byte(loader), make([]byte, 16))
	return b.Bytes()
}

func machO(cpu uint32) []byte {
	var b bytes.Buffer
	put(&b, uint32(0xfeedfacf), cpu, uint32(0), uint32(2), make([]byte, 64))
	return b.Bytes()
}

// fatMachO returns the beginning of a Mach-O file for amd64 and arm64.
func fatMachO(magic uint32, each int) []byte {
	content := binary.BigEndian.AppendUint32(nil, magic)
	content = binary.BigEndian.AppendUint32(content, 2)
	for _, cpu := range []uint32{0x01000007, 0x0100000c} {
		content = binary.BigEndian.AppendUint32(content, cpu)
		content = append(content, make([]byte, each-4)...)
	}
	return content
}

func pe(machine uint16, at uint32) []byte {
	content := make([]byte, at, at+24)
	copy(content, "MZ")
	binary.LittleEndian.PutUint32(content[0x3c:], at)
	content = append(content, "PE\x00\x00"...)
	return append(binary.LittleEndian.AppendUint16(content, machine), make([]byte, 16)...)
}

func put(b *bytes.Buffer, values ...any) {
	for _, value := range values {
		if err := binary.Write(b, binary.LittleEndian, value); err != nil {
			panic(err)
		}
	}
}

func patch(content []byte, at int, value byte) []byte {
	content = bytes.Clone(content)
	content[at] = value
	return content
}

// nativeProgram returns a small file in this system's format for this machine.
func nativeProgram(t *testing.T) []byte {
	t.Helper()
	amd64 := runtime.GOARCH == "amd64"
	switch {
	case runtime.GOOS == "darwin" && amd64:
		return machO(0x01000007)[:32]
	case runtime.GOOS == "darwin":
		return machO(0x0100000c)[:32]
	case runtime.GOOS == "windows" && amd64:
		return pe(0x8664, 0x80)[:0x80+6]
	case runtime.GOOS == "windows":
		return pe(0xaa64, 0x80)[:0x80+6]
	}
	return elf(nativeMachine(t), noLoader)
}

// nativeMachine returns the number of this machine in ELF, read from this program.
func nativeMachine(t testing.TB) uint16 {
	t.Helper()
	file, err := os.Open(self(t))
	require.NoError(t, err)
	defer file.Close()
	var machine [2]byte
	_, err = file.ReadAt(machine[:], 18)
	require.NoError(t, err)
	return binary.LittleEndian.Uint16(machine[:])
}

func here() string {
	if runtime.GOOS == "linux" {
		return "elf/" + runtime.GOARCH
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// write writes a file into a directory of its own.
func write(t testing.TB, name string, content []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	writeTo(t, path, content, mode)
	return path
}

// writeTo writes a file. No fork happens meanwhile: a child that inherits a descriptor for writing would make a start
// fail with ETXTBSY.
func writeTo(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	require.NoError(t, os.WriteFile(path, content, mode))
	require.NoError(t, os.Chmod(path, mode))
}
