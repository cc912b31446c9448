// Package tinyworker holds the smallest program that a hive on Linux can start as a worker.
package tinyworker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
)

// Binary returns a static ELF executable of about 200 bytes that sleeps for two minutes and exits: the least that a kernel can be
// asked to start, so that what is measured is the hive and not the worker. It is an error if none is written for this
// architecture.
func Binary() ([]byte, error) {
	var machine uint16
	var code []byte
	switch runtime.GOARCH {
	case "amd64":
		machine = 62
		code = []byte{
			0x48, 0x8d, 0x3d, 0x12, 0x00, 0x00, 0x00, // lea rdi, [rip+18]: the timespec
			0x31, 0xf6, // xor esi, esi
			0xb8, 0x23, 0x00, 0x00, 0x00, // mov eax, 35: nanosleep
			0x0f, 0x05, // syscall
			0x31, 0xff, // xor edi, edi
			0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, 60: exit
			0x0f, 0x05, // syscall
		}
	case "arm64":
		machine = 183
		code = []byte{
			0xe0, 0x00, 0x00, 0x10, // adr x0, #28: the timespec
			0x01, 0x00, 0x80, 0xd2, // mov x1, #0
			0xa8, 0x0c, 0x80, 0xd2, // mov x8, #101: nanosleep
			0x01, 0x00, 0x00, 0xd4, // svc #0
			0x00, 0x00, 0x80, 0xd2, // mov x0, #0
			0xa8, 0x0b, 0x80, 0xd2, // mov x8, #93: exit
			0x01, 0x00, 0x00, 0xd4, // svc #0
		}
	default:
		return nil, fmt.Errorf("no tiny worker is written for %s", runtime.GOARCH)
	}
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code) + 16)
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, field := range []any{
		// File header: executable, machine, version, entry, program headers at 64, no sections, one program header.
		uint16(2), machine, uint32(1), uint64(base + headers), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		// Program header: load the whole file, readable and executable.
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x10000),
	} {
		_ = binary.Write(&b, binary.LittleEndian, field)
	}
	b.Write(code)
	_ = binary.Write(&b, binary.LittleEndian, [2]uint64{120, 0})
	return b.Bytes(), nil
}
