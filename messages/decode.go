package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// anyField lets [decodeStrict] pass over the fields that it does not know.
var anyField []string

// decodeStrict reads one JSON object into v. Unless known is [anyField], its fields must be among known, written exactly
// so, at most once and never null: the decoder of encoding/json alone would take "Model" for "model", the last of two, and
// null for anything. The field that timeField names is v's only [time.Time], whose errors do not say where they occurred.
func decodeStrict(data []byte, v any, known []string, timeField string) error {
	if len(data) > MaxPayload {
		return fmt.Errorf("the payload has %d bytes; at most %d are read", len(data), MaxPayload)
	}
	if !utf8.Valid(data) {
		return errors.New("the payload is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return describe(err, timeField)
	}
	if trailing(dec) {
		return errors.New("the payload goes on after the JSON object")
	}
	if bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
		return errors.New("the payload is a JSON null; it must be an object")
	}
	if known == nil {
		return nil
	}
	return checkNames(data, known)
}

func trailing(dec *json.Decoder) bool {
	_, err := dec.Token()
	return !errors.Is(err, io.EOF)
}

// describe puts an error of encoding/json into words that name the field.
func describe(err error, timeField string) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("the payload is a JSON %s; it must be an object", clip(kind.Value))
	case errors.As(err, &kind):
		return fmt.Errorf("%s: is a JSON %s; it must be %s", kind.Field, clip(kind.Value), jsonType(kind))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the payload ends before its JSON does")
	case errors.As(err, &syntax):
		return fmt.Errorf("the payload is not JSON: %w", err)
	}
	return fmt.Errorf("%s: is not a time like 2026-11-22T12:00:00Z (RFC 3339)", timeField)
}

func jsonType(err *json.UnmarshalTypeError) string {
	switch kind := err.Type.Kind().String(); {
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case kind == "slice":
		return "a list"
	case kind == "struct":
		return "an object"
	}
	return "a string"
}

// checkNames returns an error for the first field of the object that is not in known, stands there twice or is null.
func checkNames(data []byte, known []string) error {
	var seen uint64
	for name, value := range fieldNames(data) {
		at := slices.Index(known, name)
		if at < 0 {
			return fmt.Errorf("%s: unknown field; the known ones are %s", clip(name), strings.Join(known, ", "))
		}
		if seen&(1<<at) != 0 {
			return fmt.Errorf("%s: stands there twice", name)
		}
		if value == 'n' {
			return fmt.Errorf("%s: is a JSON null; leave the field out instead", name)
		}
		seen |= 1 << at
	}
	return nil
}

// fieldNames yields the names of the outermost object in data, which must be valid JSON, as they are written there, each
// with the byte that its value begins with.
func fieldNames(data []byte) iter.Seq2[string, byte] {
	return func(yield func(string, byte) bool) {
		depth, isName := 0, false
		for i := 0; i < len(data); i++ {
			switch data[i] {
			case '{', '[':
				depth++
				isName = depth == 1
			case '}', ']':
				depth--
			case ',':
				isName = depth == 1
			case '"':
				end := stringEnd(data, i)
				if isName && !yield(string(data[i+1:end]), bytes.TrimLeft(data[end+1:], ": \t\r\n")[0]) {
					return
				}
				isName = false
				i = end
			}
		}
	}
}

// stringEnd returns the index of the quote that ends the JSON string beginning at i.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i
}

// checkText refuses text that is too long, is not UTF-8 (JSON could not carry it unchanged) or holds a control character,
// which a terminal or a log would obey.
func checkText(text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("has %d bytes; at most %d are taken", len(text), limit)
	}
	if !utf8.ValidString(text) {
		return errors.New("is not valid UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return fmt.Errorf("holds the control character %U", r)
		}
	}
	return nil
}

// clip shortens text from outside for a message and makes it printable.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Sprintf("%q", text)
	}
	return text
}
