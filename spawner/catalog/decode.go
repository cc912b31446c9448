package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SyntaxError is the error of [ReadManifest]: what is wrong in a file, and where.
type SyntaxError struct {
	File   string
	Line   int // From 1.
	Column int // From 1, in characters.
	Field  string
	Err    error
}

// Error returns the place, the field and what is wrong there, on one line.
func (e *SyntaxError) Error() string {
	field := e.Field
	if field != "" {
		field += ": "
	}
	return fmt.Sprintf("%s:%d:%d: %s%v", e.File, e.Line, e.Column, field, e.Err)
}

// Unwrap returns Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// reader reads JSON strictly: it knows where it stands, and takes no field that nobody asked for and none twice.
//
// The first error ends the reading: it is kept, and all that follows does nothing.
type reader struct {
	file string
	data []byte
	dec  *json.Decoder
	at   int // Where the last token begins.
	path []string
	err  error
}

func newReader(file string, data []byte) *reader {
	r := &reader{file: file, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	for at := 0; at < len(data); {
		char, size := utf8.DecodeRune(data[at:])
		if char == utf8.RuneError && size == 1 {
			r.at = at
			r.fail(errors.New("is not valid UTF-8"))
			break
		}
		at += size
	}
	return r
}

// fail keeps an error about the last token.
func (r *reader) fail(err error) {
	if r.err != nil {
		return
	}
	at := min(r.at, len(r.data))
	line := bytes.LastIndexByte(r.data[:at], '\n') + 1
	r.err = &SyntaxError{
		File: r.file, Line: bytes.Count(r.data[:at], []byte("\n")) + 1, Column: utf8.RuneCount(r.data[line:at]) + 1,
		Field: strings.Join(r.path, ""), Err: err,
	}
}

// next returns the next token, or nil behind an error.
func (r *reader) next() json.Token {
	if r.err != nil {
		return nil
	}
	r.at = int(r.dec.InputOffset())
	for r.at < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[r.at]) >= 0 {
		r.at++
	}
	token, err := r.dec.Token()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		r.at = max(int(syntax.Offset)-1, r.at)
		r.fail(fmt.Errorf("is not JSON: %w", err))
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.at = len(r.data)
		r.fail(errors.New("the file ends before its JSON does"))
	} else if err != nil {
		r.fail(err)
	}
	return token
}

// end makes sure that nothing follows.
func (r *reader) end() error {
	if r.err == nil {
		r.at = int(r.dec.InputOffset())
		rest := bytes.TrimLeft(r.data[r.at:], " \t\r\n")
		if len(rest) > 0 {
			r.at = len(r.data) - len(rest)
			r.fail(errors.New("something follows the JSON object: remove it"))
		}
	}
	return r.err
}

// object reads an object, each of whose fields read reads, and reports false for a name that it does not know.
func (r *reader) object(known []string, read func(name string) bool) {
	if token := r.next(); r.err == nil && token != json.Delim('{') {
		r.fail(fmt.Errorf("is %s; it must be an object", kindOf(token)))
	}
	var seen []string
	for r.err == nil {
		token := r.next()
		if token == json.Delim('}') || r.err != nil {
			return
		}
		name, ok := token.(string)
		if !ok {
			r.fail(errors.New("is not JSON"))
			return
		}
		r.within(fieldName(name, len(r.path)), func() {
			if slices.Contains(seen, name) {
				r.fail(errors.New("stands there twice"))
				return
			}
			seen = append(seen, name)
			if !read(name) {
				r.fail(fmt.Errorf("unknown field; the known ones are %s", strings.Join(known, ", ")))
			}
		})
	}
}

// list reads a list of at most most elements.
func (r *reader) list(most int, read func()) {
	if token := r.next(); r.err == nil && token != json.Delim('[') {
		r.fail(fmt.Errorf("is %s; it must be a list", kindOf(token)))
	}
	for i := 0; r.err == nil; i++ {
		if !r.dec.More() {
			r.next() // the end, or what is wrong with it
			return
		}
		r.within("["+strconv.Itoa(i)+"]", func() {
			if i == most {
				r.at = int(r.dec.InputOffset())
				r.fail(fmt.Errorf("there are more than %d", most))
				return
			}
			read()
		})
	}
}

// text reads a string that check allows.
func (r *reader) text(check func(string) error) string {
	token := r.next()
	text, ok := token.(string)
	switch {
	case r.err != nil:
	case !ok:
		r.fail(fmt.Errorf("is %s; it must be a string", kindOf(token)))
	default:
		if err := check(text); err != nil {
			r.fail(err)
		}
	}
	return text
}

// texts reads a list of strings that check allows.
func (r *reader) texts(most int, check func(string) error) []string {
	all := []string{}
	r.list(most, func() { all = append(all, r.text(check)) })
	return all
}

// number reads a whole number.
func (r *reader) number(least, most int) int {
	token := r.next()
	digits, ok := token.(json.Number)
	n, err := strconv.Atoi(string(digits))
	switch {
	case r.err != nil:
	case !ok:
		r.fail(fmt.Errorf("is %s; it must be a whole number", kindOf(token)))
	case err != nil || n < least || n > most:
		r.fail(fmt.Errorf("is %s; use a whole number from %d to %d", shorten(digits.String()), least, most))
	}
	return n
}

// within has errors of what read does name a field.
func (r *reader) within(field string, read func()) {
	r.path = append(r.path, field)
	defer func() { r.path = r.path[:len(r.path)-1] }()
	read()
}

func fieldName(name string, depth int) string {
	name = shorten(name)
	if depth > 0 {
		return "." + name
	}
	return name
}

// shorten makes text from a file fit for a message.
func shorten(text string) string {
	const most = 80
	runes := []rune(text)
	if len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	quoted := strconv.Quote(text)
	return cmp.Or(strings.TrimSuffix(strings.TrimPrefix(quoted, `"`), `"`), `""`)
}

// kindOf names the type of a token.
func kindOf(token json.Token) string {
	switch token := token.(type) {
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return strconv.FormatBool(token)
	case json.Delim:
		if token == '[' {
			return "a list"
		}
		return "an object"
	}
	return "null"
}
