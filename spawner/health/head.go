package health

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// mostHead is how long the head of an answer may be, in bytes, with those of the interim answers before it.
const mostHead = 64 << 10

// errLongHead is why a server that sends more counts as one that does not answer.
var errLongHead = fmt.Errorf("the head of the answer is longer than %d bytes", mostHead)

// head is how far the head of one answer was read. However small the pieces are in which that comes, no byte is looked at again and
// again. The zero head is that of an answer of which nothing has come.
type head struct {
	start int  // where it begins, behind those of the interim answers
	line  int  // where its last line begins of which anything may have come
	seen  int  // up to where that line does not end
	valid bool // its first line is one
}

// read reads the head out of what came of the answer so far, which is what it was given before and more. more says that the rest is to
// come; ended, that nothing follows. Interim answers (RFC 9110, section 15.2) are passed over. What cannot become an answer any more is
// an error at its first line, whether or not the rest comes.
func (h *head) read(came []byte, ended bool) (status int, text string, more bool, err error) {
	for {
		end := h.end(came)
		if end < 0 {
			return 0, "", true, h.cut(came, ended)
		}
		status, text, err = parseHead(came[h.start:end])
		if err != nil || status >= http.StatusOK || status == http.StatusSwitchingProtocols {
			return status, text, false, err
		}
		*h = head{start: end, line: end, seen: end}
	}
}

// end returns where the head ends, with the empty line behind it; -1 if that has not come yet.
func (h *head) end(came []byte) int {
	for {
		if h.line > h.start {
			switch rest := came[h.line:]; {
			case bytes.HasPrefix(rest, []byte("\n")):
				return h.line + 1
			case bytes.HasPrefix(rest, []byte("\r\n")):
				return h.line + 2
			}
		}
		length := bytes.IndexByte(came[h.seen:], '\n')
		if length < 0 {
			h.seen = len(came)
			return -1
		}
		h.line = h.seen + length + 1
		h.seen = h.line
	}
}

// cut returns an error if no more can be made of a head whose end has not come.
func (h *head) cut(came []byte, ended bool) error {
	switch {
	case len(came) == 0 && ended:
		return io.EOF
	case h.line > h.start && !h.valid:
		first := came[h.start : h.start+bytes.IndexByte(came[h.start:], '\n')+1]
		if _, _, err := parseHead(append(first[:len(first):len(first)], '\n')); err != nil {
			return err
		}
		h.valid = true
	}
	switch {
	case ended:
		return io.ErrUnexpectedEOF
	case len(came) >= mostHead:
		return errLongHead
	}
	return nil
}

// parseHead reads a whole head.
func parseHead(head []byte) (status int, text string, err error) {
	resp, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(head), len(head)), nil) //nolint:bodyclose // it has none: this is the head alone
	if err != nil {
		return 0, "", err
	}
	return resp.StatusCode, resp.Status, nil
}
