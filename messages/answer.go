package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// answer is what the answers of all operations have in common.
type answer[A any] interface {
	// complete reports whether what was read is such an answer.
	complete() bool
	// ids returns an answer that holds nothing but the ids of job and hive.
	ids() A
}

// errorName is how the field stands in a payload that every [Failure] has and no other answer.
var errorName = []byte(`"error"`)

// decodeAnswer reads an answer. If the hive answered with a [Failure], the error is its [*Error], and the answer holds the
// ids alone. Fields that this version does not know are passed over; kind names the answer in the error of one that is none.
func decodeAnswer[A answer[A]](data []byte, kind string) (A, error) {
	var got, none A
	if err := json.Unmarshal(data, &got); err != nil {
		return none, fmt.Errorf("read the hive's answer: %w", err)
	}
	if bytes.Contains(data, errorName) { // else there is no need to read it twice
		var failure struct {
			Err *Error `json:"error"`
		}
		if err := json.Unmarshal(data, &failure); err != nil {
			return none, fmt.Errorf("read the hive's answer: %w", err)
		}
		if failure.Err != nil {
			return got.ids(), failure.Err
		}
	}
	if !got.complete() {
		return none, fmt.Errorf("read the hive's answer: it holds neither %s nor an error", kind)
	}
	return got, nil
}
