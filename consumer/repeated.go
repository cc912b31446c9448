package consumer

import (
	"strings"

	"github.com/nats-io/nats.go"
)

const (
	// headerStream is what the server writes on each message that it takes out of a stream to repeat it: for a direct get, and where a
	// stream republishes.
	headerStream = "Nats-Stream"
	// ackSubjects is what the reply subject of each message begins with that a consumer delivers.
	ackSubjects = "$JS.ACK."
)

// repeated reports whether a message was not published by whoever speaks on its subject but came out of a stream. Who may store
// messages and read them back chooses the subject on which they come: without a look at it, one hive could send jobs to another,
// whatever its permissions. The header is looked for and not its value: whoever stored the message may have given it another one, also
// an empty one, which then comes first.
func repeated(header nats.Header, reply string) bool {
	return len(header[headerStream]) > 0 || strings.HasPrefix(reply, ackSubjects)
}

// astray reports whether a reply subject is no place where somebody waits for an answer: the server's own subjects, which do what they are
// asked to, and the fleet's. A hive may speak wherever an answer is wanted, whatever else it may do, so whoever asks must not choose those.
func (h *hive) astray(reply string) bool {
	return strings.HasPrefix(reply, "$") || strings.HasPrefix(reply, h.Subjects.Prefix()+".")
}

// repeatedBefore reports whether a message of a stream had been repeated when it came there: a direct get itself adds one mark.
func repeatedBefore(got nats.Header) bool { return len(got[headerStream]) > 1 }

// said returns what the server wrote into a header of what it repeats. It writes behind all else, so that what whoever stored the message
// may have put there comes first.
func said(header nats.Header, name string) string {
	values := header[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
