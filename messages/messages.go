// Package messages defines what travels between queens, hives and observers: jobs, results, errors, narration events,
// heartbeats, and the NATS subjects and headers they travel on.
//
// It encodes, decodes and validates; it connects to nothing and starts nothing. What a hive reads ([DecodeJob]) is
// decoded strictly, so that a mistake is told to whoever made it. What a client reads ([DecodeResult], [DecodeEvent])
// may carry fields that a newer hive added.
package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MaxPayload is the size in bytes of the largest job or heartbeat that is accepted.
const MaxPayload = 64 << 10

// Headers of jobs and of their answers. NATS header names are case-sensitive.
const (
	// HeaderJobID carries the job's id on every answer and result.
	HeaderJobID = "Rbee-Job-Id"
	// HeaderHiveID carries the id of the hive that answered.
	HeaderHiveID = "Rbee-Hive-Id"
	// HeaderReplayed is "true" on an answer that repeats an earlier result and started nothing.
	HeaderReplayed = "Rbee-Replayed"
	// HeaderError carries a failure's message, as NATS services do (ADR-32 of the NATS architecture).
	HeaderError = "Nats-Service-Error"
	// HeaderErrorCode carries a failure's number, [Code.Status], as NATS services do.
	HeaderErrorCode = "Nats-Service-Error-Code"
)

// encode renders v as one line of JSON. Characters that matter only inside HTML stay as they are, so that a person can
// read what a subscriber prints.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
