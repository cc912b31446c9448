package binary

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The layout of ELF is that of elf(5); offsets are those of its 64-bit form, the only one whose program headers are read.
const (
	elfHeaderSize        = 64
	elfProgramHeaderSize = 56
	elfMostHeaders       = 1024 // The kernel reads up to 64 KiB of them, linkers write about 13.
	elfLoad              = 1
	elfInterpreter       = 3
)

func identifyELF(h []byte) image {
	const executable, shared = 2, 3
	found := image{format: "ELF"}
	if len(h) < elfHeaderSize {
		return found
	}
	order, class, data := binary.ByteOrder(binary.LittleEndian), h[4], h[5]
	if data == 2 {
		order = binary.BigEndian
	}
	if kind := order.Uint16(h[16:]); kind == executable || kind == shared {
		found.arches = []string{elfArch(order.Uint16(h[18:]), class == 2, data == 1)}
	}
	return found
}

// elfArch names a processor as runtime.GOARCH does.
func elfArch(machine uint16, wide, little bool) string {
	switch {
	case machine == 3 && !wide && little:
		return "386"
	case machine == 62 && wide && little:
		return "amd64"
	case machine == 40 && !wide && little:
		return "arm"
	case machine == 183 && wide && little:
		return "arm64"
	case machine == 243 && wide && little:
		return "riscv64"
	case machine == 258 && wide && little:
		return "loong64"
	case machine == 21 && wide && little:
		return "ppc64le"
	case machine == 21 && wide:
		return "ppc64"
	case machine == 22 && wide && !little:
		return "s390x"
	}
	return fmt.Sprintf("machine %d", machine)
}

// checkELF looks at what the kernel looks at before it gives up the old program for the new one: the program headers and
// the loader they name. Besides, it finds a file that was cut short, which the kernel would start and then kill.
func checkELF(p program) *Error {
	if p.header[4] != 2 || p.header[5] != 1 {
		return nil // Neither of this design's processors: left to the kernel.
	}
	headers, e := elfProgramHeaders(p)
	if e != nil {
		return e
	}
	var loader []byte
	for ; len(headers) > 0; headers = headers[elfProgramHeaderSize:] {
		kind := binary.LittleEndian.Uint32(headers)
		offset, size := binary.LittleEndian.Uint64(headers[8:]), binary.LittleEndian.Uint64(headers[32:])
		if kind != elfLoad && kind != elfInterpreter {
			continue
		}
		if end := offset + size; end < offset || end > uint64(p.size) {
			return p.fails(Damaged, fmt.Sprintf("is cut short: %d bytes of at least %d are there; install it again", p.size, end))
		}
		if kind == elfInterpreter && loader == nil {
			if loader, e = elfLoader(p, int64(offset), size); e != nil {
				return e
			}
		}
	}
	if loader == nil {
		return nil // Statically linked.
	}
	if reason := unusable(string(loader)); reason != "" {
		return p.fails(Loader, fmt.Sprintf("needs the loader %s, which %s: install it, or a build for this system's C library",
			show(string(loader)), reason))
	}
	return nil
}

// elfProgramHeaders returns the program headers one behind the other.
func elfProgramHeaders(p program) ([]byte, *Error) {
	offset := binary.LittleEndian.Uint64(p.header[32:])
	each, count := binary.LittleEndian.Uint16(p.header[54:]), int(binary.LittleEndian.Uint16(p.header[56:]))
	if each != elfProgramHeaderSize || count == 0 || count > elfMostHeaders {
		return nil, p.fails(Damaged, "has malformed program headers: install it again")
	}
	headers, ok := p.part(offset, uint64(count*elfProgramHeaderSize))
	if !ok {
		return nil, p.fails(Damaged, "is cut short within its program headers: install it again")
	}
	return headers, nil
}

// elfLoader returns the path of the loader.
func elfLoader(p program, offset int64, size uint64) ([]byte, *Error) {
	const longest = 4096
	if size >= 2 && size <= longest {
		if name, ok := p.part(uint64(offset), size); ok && name[size-1] == 0 {
			name, _, _ = bytes.Cut(name, []byte{0})
			return name, nil
		}
	}
	return nil, p.fails(Damaged, "names its loader in a malformed way: install it again")
}

// part returns a part of the file, of its header where that holds it.
func (p program) part(offset, size uint64) ([]byte, bool) {
	end := offset + size
	if end < offset || end > uint64(p.size) {
		return nil, false
	}
	if end <= uint64(len(p.header)) {
		return p.header[offset:end], true
	}
	part := make([]byte, size)
	n, _ := p.file.ReadAt(part, int64(offset))
	return part, n == len(part)
}
