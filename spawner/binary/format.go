package binary

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
)

// program is a file whose format is looked at.
type program struct {
	path   string
	dir    string // Where a relative interpreter is looked for; empty: nowhere.
	file   *os.File
	info   fs.FileInfo
	header []byte // What the file begins with, at most headerSize.
	size   int64
}

// image is what the first bytes of a program say about where it runs.
type image struct {
	format string   // "ELF", "Mach-O" or "PE".
	arches []string // As in runtime.GOARCH, or something to show for an unknown one.
}

func checkFormat(p program) *Error {
	switch {
	case len(p.header) == 0:
		return p.fails(Empty, "is empty: install it again")
	case bytes.HasPrefix(p.header, []byte("#!")):
		return checkScript(p)
	}
	found, e := identify(p)
	if e != nil {
		return e
	}
	if found.format != nativeFormat() || !slices.Contains(found.arches, runtime.GOARCH) {
		return p.fails(WrongArchitecture, fmt.Sprintf("is an %s program for %s, this machine is %s/%s: install the build for it",
			found.format, strings.Join(found.arches, " and "), runtime.GOOS, runtime.GOARCH))
	}
	if found.format == "ELF" {
		return checkELF(p)
	}
	return nil
}

func (p program) fails(cause Cause, reason string) *Error {
	return &Error{Path: p.path, Cause: cause, Reason: reason}
}

// nativeFormat returns the format of this system's programs.
func nativeFormat() string {
	switch runtime.GOOS {
	case "darwin", "ios":
		return "Mach-O"
	case "windows":
		return "PE"
	}
	return "ELF"
}

// identify reads of a program where it runs.
func identify(p program) (image, *Error) {
	var found image
	h := p.header
	switch {
	case bytes.HasPrefix(h, []byte("\x7fELF")):
		found = identifyELF(h)
	case bytes.HasPrefix(h, []byte("MZ")):
		found = identifyPE(p)
	case len(h) >= 8:
		found = identifyMachO(h)
	}
	switch {
	case found.format == "":
		return found, p.fails(UnknownFormat, "is neither a program nor a script with a #! line: "+
			"begin a script with its interpreter, such as #!/bin/sh")
	case len(found.arches) == 0:
		return found, p.fails(Damaged, fmt.Sprintf("begins as an %s program, but is cut short or is no program: install it again",
			found.format))
	}
	return found, nil
}

// The layouts of Mach-O are those of <mach-o/loader.h> and <mach-o/fat.h>.
func identifyMachO(h []byte) image {
	const (
		magic32, magic64     = 0xfeedface, 0xfeedfacf
		fatMagic, fatMagic64 = 0xcafebabe, 0xcafebabf
		execute              = 2
		mostArches           = 20 // A Java class, which begins with the same magic, has its version here: 45 and up.
	)
	switch magic := binary.LittleEndian.Uint32(h); magic {
	case magic32, magic64:
		found := image{format: "Mach-O"}
		if len(h) >= 32 && binary.LittleEndian.Uint32(h[12:]) == execute {
			found.arches = []string{machOArch(binary.LittleEndian.Uint32(h[4:]))}
		}
		return found
	}
	magic, count := binary.BigEndian.Uint32(h), int(binary.BigEndian.Uint32(h[4:]))
	if (magic != fatMagic && magic != fatMagic64) || count > mostArches {
		return image{}
	}
	found, each := image{format: "Mach-O"}, 20
	if magic == fatMagic64 {
		each = 32
	}
	for i := range count {
		if at := 8 + i*each; at+each <= len(h) {
			found.arches = append(found.arches, machOArch(binary.BigEndian.Uint32(h[at:])))
		}
	}
	return found
}

func machOArch(cpu uint32) string {
	switch cpu {
	case 0x01000007:
		return "amd64"
	case 0x0100000c:
		return "arm64"
	}
	return fmt.Sprintf("processor 0x%x", cpu)
}

// The layout of PE is that of the "PE Format" page of Microsoft's Win32 documentation.
func identifyPE(p program) image {
	const offsetAt, signature = 0x3c, "PE\x00\x00"
	if len(p.header) < offsetAt+4 {
		return image{}
	}
	var header [6]byte
	offset := binary.LittleEndian.Uint32(p.header[offsetAt:])
	if n, _ := p.file.ReadAt(header[:], int64(offset)); n < len(header) || string(header[:4]) != signature {
		return image{} // A program for DOS, or text that begins with MZ.
	}
	machine := binary.LittleEndian.Uint16(header[4:])
	switch machine {
	case 0x014c:
		return image{"PE", []string{"386"}}
	case 0x8664:
		return image{"PE", []string{"amd64"}}
	case 0xaa64:
		return image{"PE", []string{"arm64"}}
	}
	return image{"PE", []string{fmt.Sprintf("machine 0x%x", machine)}}
}
