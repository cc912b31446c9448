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
// so and at most once: the decoder of encoding/json alone would take "Model" for "model" and the last of two.
func decodeStrict(data []byte, v any, known []string) error {
	if len(data) > MaxPayload {
		return fmt.Errorf("the payload has %d bytes; at most %d are read", len(data), MaxPayload)
	}
	if !utf8.Valid(data) {
		return errors.New("the payload is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return describe(err)
	}
	if trailing(dec) {
		return errors.New("the payload goes on after the JSON object")
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
func describe(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("the payload is a JSON %s; it must be an object", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("%s: is a JSON %s; it must be %s", kind.Field, kind.Value, jsonType(kind))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the payload ends before its JSON does")
	}
	return fmt.Errorf("the payload is not JSON: %w", err)
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

// checkNames returns an error for the first field of the object that is not in known or stands there twice.
func checkNames(data []byte, known []string) error {
	var seen uint64
	for name := range fieldNames(data) {
		at := slices.Index(known, name)
		if at < 0 {
			return fmt.Errorf("%s: unknown field; the known ones are %s", clip(name), strings.Join(known, ", "))
		}
		if seen&(1<<at) != 0 {
			return fmt.Errorf("%s: stands there twice", name)
		}
		seen |= 1 << at
	}
	return nil
}

// fieldNames yields the names of the outermost object in data, which must be valid JSON, as they are written there.
func fieldNames(data []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
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
				if isName && !yield(string(data[i+1:end])) {
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

// checkText refuses text that is too long or holds a control character, which a terminal or a log would obey.
func checkText(text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("has %d bytes; at most %d are taken", len(text), limit)
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		return fmt.Errorf("holds the control character %q", text[i])
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
