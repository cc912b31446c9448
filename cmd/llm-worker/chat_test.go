package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const chatPath = "/v1/chat/completions"

// prompt is a request with one message and more fields, such as `"stream":true`.
func prompt(text string, fields ...string) string {
	content, _ := json.Marshal(text)
	fields = append(fields, `"messages":[{"role":"user","content":`+string(content)+`}]`)
	return "{" + strings.Join(fields, ",") + "}"
}

// plainChat returns the completion to a request that is answered.
func plainChat(t *testing.T, client *http.Client, url, body string) chatCompletion {
	t.Helper()
	code, answer := ask(t, client, http.MethodPost, url+chatPath, body)
	require.Equal(t, http.StatusOK, code, answer)
	return decode[chatCompletion](t, answer)
}

// chatStream is the client's side of a streamed completion.
type chatStream struct {
	body   io.Closer
	lines  *bufio.Scanner
	events []string // data of the events that came
}

func openStream(ctx context.Context, t *testing.T, client *http.Client, url, body string) *chatStream {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+chatPath, strings.NewReader(body))
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	return &chatStream{body: response.Body, lines: bufio.NewScanner(response.Body)}
}

// next waits for one event; false: the stream has ended.
func (s *chatStream) next(t *testing.T) bool {
	t.Helper()
	if !s.lines.Scan() {
		return false
	}
	data, ok := strings.CutPrefix(s.lines.Text(), "data: ")
	require.True(t, ok, s.lines.Text())
	s.events = append(s.events, data)
	require.True(t, s.lines.Scan(), "an event ends with an empty line")
	require.Empty(t, s.lines.Text())
	return true
}

// streamChat reads a whole stream and returns its chunks; the last event must be [DONE].
func streamChat(t *testing.T, client *http.Client, url, body string) (chunks []chatCompletion) {
	t.Helper()
	stream := openStream(t.Context(), t, client, url, body)
	for stream.next(t) {
	}
	last := len(stream.events) - 1
	require.Equal(t, "[DONE]", stream.events[last])
	for _, event := range stream.events[:last] {
		chunks = append(chunks, decode[chatCompletion](t, event))
	}
	return chunks
}

// joined checks that chunks are one well-formed stream, and returns its text and the reason of its end.
func joined(t *testing.T, chunks []chatCompletion) (text, finish string) {
	t.Helper()
	require.Equal(t, "assistant", chunks[0].Choices[0].Delta.Role)
	for i, chunk := range chunks {
		require.Equal(t, "chat.completion.chunk", chunk.Object)
		require.Equal(t, chunks[0].ID, chunk.ID)
		require.Len(t, chunk.Choices, 1)
		text += chunk.Choices[0].Delta.Content
		require.Equal(t, i == len(chunks)-1, chunk.Choices[0].FinishReason != nil)
	}
	return text, *chunks[len(chunks)-1].Choices[0].FinishReason
}

func TestCompletionGolden(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	_, body := ask(t, server.Client(), http.MethodPost, server.URL+chatPath, prompt("What does the queen know?", `"model":"org/model"`))
	requireGolden(t, "completion.json", body)
}

func TestStreamEqualsPlain(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	cases := map[string]struct {
		fields []string
		finish string
	}{
		"whole":     {nil, finishStop},
		"model":     {[]string{`"model":"org/model"`}, finishStop},
		"seed":      {[]string{`"seed":7`}, finishStop},
		"one token": {[]string{`"max_tokens":1`}, finishLength},
		"newer cut": {[]string{`"max_tokens":1`, `"max_completion_tokens":9`}, finishLength},
		"huge":      {[]string{`"max_tokens":1000000000`}, finishStop},
		"ignored":   {[]string{`"temperature":0.7`, `"stop":null`, `"user":"somebody"`}, finishStop},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := plainChat(t, server.Client(), server.URL, prompt("Tell me about honey", test.fields...))
			chunks := streamChat(t, server.Client(), server.URL, prompt("Tell me about honey", append(test.fields, `"stream":true`)...))
			text, finish := joined(t, chunks)
			require.Equal(t, "assistant", plain.Choices[0].Message.Role)
			require.Equal(t, string(plain.Choices[0].Message.Content), text)
			require.Equal(t, test.finish, finish)
			require.Equal(t, test.finish, *plain.Choices[0].FinishReason)
			require.Equal(t, chatUsage{
				PromptTokens: 4, CompletionTokens: len(chunks) - 2, TotalTokens: 4 + len(chunks) - 2,
			}, *plain.Usage)
		})
	}
}

func TestStreamUsage(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	chunks := streamChat(t, server.Client(), server.URL,
		prompt("Hello", `"stream":true`, `"max_tokens":3`, `"stream_options":{"include_usage":true}`))
	last := chunks[len(chunks)-1]
	require.Empty(t, last.Choices)
	require.Equal(t, &chatUsage{PromptTokens: 1, CompletionTokens: 3, TotalTokens: 4}, last.Usage)
}

func TestContentForms(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	text := plainChat(t, server.Client(), server.URL, `{"messages":[{"role":"user","content":"a\nb"}]}`)
	parts := plainChat(t, server.Client(), server.URL,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}`)
	require.Equal(t, text.Choices, parts.Choices)
	plainChat(t, server.Client(), server.URL, `{"messages":[{"role":"assistant","content":null}]}`)
}

func TestChatRefuses(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	cases := map[string]struct {
		body   string
		status int
		code   string
		param  string
	}{
		"empty":         {"", http.StatusBadRequest, "invalid_json", ""},
		"not json":      {"{", http.StatusBadRequest, "invalid_json", ""},
		"two values":    {prompt("a") + "{}", http.StatusBadRequest, "invalid_json", ""},
		"no messages":   {"{}", http.StatusBadRequest, "missing_required_parameter", "messages"},
		"no role":       {`{"messages":[{"content":"a"}]}`, http.StatusBadRequest, "missing_required_parameter", "messages[0].role"},
		"image":         {`{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, http.StatusBadRequest, "invalid_json", ""},
		"type":          {prompt("a", `"max_tokens":"many"`), http.StatusBadRequest, "invalid_type", "max_tokens"},
		"no tokens":     {prompt("a", `"max_tokens":0`), http.StatusBadRequest, "invalid_value", "max_tokens"},
		"two choices":   {prompt("a", `"n":2`), http.StatusBadRequest, "unsupported_value", "n"},
		"another model": {prompt("a", `"model":"org/other"`), http.StatusNotFound, "model_not_found", "model"},
		"too large":     {prompt(strings.Repeat("a", maxBody)), http.StatusRequestEntityTooLarge, "request_too_large", ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := ask(t, server.Client(), http.MethodPost, server.URL+chatPath, test.body)
			require.Equal(t, test.status, status, body)
			refusal := decode[map[string]apiError](t, body)["error"]
			require.Equal(t, test.code, refusal.Code)
			require.Equal(t, "invalid_request_error", refusal.Type)
			require.NotEmpty(t, refusal.Message)
			if test.param == "" {
				require.Nil(t, refusal.Param)
			} else {
				require.Equal(t, test.param, *refusal.Param)
			}
		})
	}
}

// The next token is an hour away: only the client's leaving can end the generation.
func TestClientLeavesAndTheWorkerIsReadyAgain(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string][]string{"plain": nil, "streamed": {`"stream":true`}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, server := readyWorker(t, func(c *config) { c.tokenTime = time.Hour })
			<-w.status.changed // ready
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan struct{})
			go func() {
				defer close(left)
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+chatPath, strings.NewReader(prompt("Hello", fields...)))
				if err != nil {
					return
				}
				if response, err := server.Client().Do(request); err == nil {
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
			}()
			<-w.status.changed
			require.Equal(t, statusBusy, w.status.current())
			leave()
			<-w.status.changed
			require.Equal(t, statusReady, w.status.current())
			<-left
		})
	}
}

func FuzzDecodeChatRequest(f *testing.F) {
	f.Add([]byte(prompt("Hello", `"stream":true`, `"max_tokens":3`, `"seed":-1`)))
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"stream_options":null}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":null}],"n":1}`))
	g := newGenerator()
	f.Fuzz(func(t *testing.T, body []byte) {
		request, refusal := decodeChatRequest(body)
		if refusal != nil {
			require.NotEmpty(t, refusal.Message)
			return
		}
		require.Positive(t, request.maxTokens())
		for range g.answer("m", request.Seed, request.Messages) { // any request that passes has an answer
		}
	})
}
