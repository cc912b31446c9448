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

// errLongHead is what a server is told that sends more.
var errLongHead = fmt.Errorf("the head of the answer is longer than %d bytes", mostHead)

// readHead reads the head of an answer out of what came of it so far. more says that the rest is to come; ended, that nothing
// follows. Interim answers (RFC 9110, section 15.2) are passed over. What cannot become an answer any more is an error at its
// first line, whether or not the rest comes.
func readHead(came []byte, ended bool) (status int, text string, more bool, err error) {
	for head := came; ; {
		size := headSize(head)
		if size < 0 {
			return 0, "", true, cutHead(head, len(came), ended)
		}
		status, text, err = parseHead(head[:size])
		if err != nil || status >= http.StatusOK || status == http.StatusSwitchingProtocols {
			return status, text, false, err
		}
		head = head[size:]
	}
}

// headSize returns the length of the head with the empty line behind it; -1 if that has not come yet.
func headSize(came []byte) int {
	for at := 0; ; {
		line := bytes.IndexByte(came[at:], '\n')
		if line < 0 {
			return -1
		}
		at += line + 1
		switch rest := came[at:]; {
		case bytes.HasPrefix(rest, []byte("\n")):
			return at + 1
		case bytes.HasPrefix(rest, []byte("\r\n")):
			return at + 2
		}
	}
}

// cutHead returns an error if no more can be made of a head whose end has not come.
func cutHead(head []byte, all int, ended bool) error {
	switch first := bytes.IndexByte(head, '\n'); {
	case all == 0 && ended:
		return io.EOF
	case first >= 0:
		if _, _, err := parseHead(append(head[:first+1:first+1], '\n')); err != nil {
			return err
		}
	}
	switch {
	case ended:
		return io.ErrUnexpectedEOF
	case all >= mostHead:
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
