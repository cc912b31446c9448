package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// The shapes of the OpenAI chat completions API that this worker speaks:
// https://platform.openai.com/docs/api-reference/chat. Fields of a request that are not here are ignored;
// sampling settings such as temperature have no effect on a deterministic generator.

// chatRequest is the body of POST /v1/chat/completions.
type chatRequest struct {
	Model               string        `json:"model"` // empty: this worker's
	Messages            []chatMessage `json:"messages"`
	Stream              bool          `json:"stream"`
	StreamOptions       streamOptions `json:"stream_options"`
	MaxTokens           *int          `json:"max_tokens"`
	MaxCompletionTokens *int          `json:"max_completion_tokens"` // the newer name, it wins
	N                   *int          `json:"n"`                     // only 1
	Seed                *int64        `json:"seed"`                  // another seed, another text
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// chatMessage is one message of a conversation, in requests and answers.
type chatMessage struct {
	Role    string      `json:"role"`
	Content chatContent `json:"content"`
}

// chatContent is the text of a message; on the wire a string, null, or a list of text parts.
type chatContent string

// UnmarshalJSON accepts the three forms and joins text parts with a newline.
func (c *chatContent) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '[' {
		return json.Unmarshal(data, (*string)(c))
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	texts := make([]string, len(parts))
	for i, part := range parts {
		if part.Type != "text" {
			return errors.New("only text content is supported")
		}
		texts[i] = part.Text
	}
	*c = chatContent(strings.Join(texts, "\n"))
	return nil
}

// chatCompletion is a whole answer (object chat.completion) or one piece of it (object chat.completion.chunk).
type chatCompletion struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"` // Unix seconds
	Model             string       `json:"model"`
	SystemFingerprint string       `json:"system_fingerprint"`
	Choices           []chatChoice `json:"choices"`
	Usage             *chatUsage   `json:"usage,omitempty"`
}

// chatChoice carries a message in a whole answer and a delta in a chunk.
type chatChoice struct {
	Index        int          `json:"index"`
	Message      *chatMessage `json:"message,omitempty"`
	Delta        *chatDelta   `json:"delta,omitempty"`
	FinishReason *string      `json:"finish_reason"` // null until the last chunk
}

type chatDelta struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content,omitempty"`
}

// chatUsage counts tokens as this generator does: a word or a punctuation mark each.
type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// modelList is the answer of GET /v1/models.
type modelList struct {
	Object string      `json:"object"`
	Data   []modelInfo `json:"data"`
}

type modelInfo struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// apiError is both the Go error of a request and the body that its client gets.
type apiError struct {
	Status  int     `json:"-"` // HTTP status
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"` // the field that is wrong, or null
	Code    string  `json:"code"`
}

func (e *apiError) Error() string { return e.Message }

// refuse makes the error of a wrong request; param may be empty.
func refuse(status int, code, param, message string) *apiError {
	refusal := &apiError{Status: status, Message: message, Type: "invalid_request_error", Code: code}
	if param != "" {
		refusal.Param = &param
	}
	return refusal
}

// unavailable makes the error of a right request at the wrong time.
func unavailable(code, message string) *apiError {
	return &apiError{Status: http.StatusServiceUnavailable, Message: message, Type: "server_error", Code: code}
}
