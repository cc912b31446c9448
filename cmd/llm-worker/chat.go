package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	defaultMaxTokens = 256
	mostTokens       = 4096 // a larger max_tokens is cut to it
)

// The reasons why a completion ends.
const (
	finishStop   = "stop"   // the text is complete
	finishLength = "length" // max_tokens
)

// chat serves POST /v1/chat/completions: decode, check, generate, answer.
func (w *worker) chat(rw http.ResponseWriter, r *http.Request) {
	request, err := readChatRequest(rw, r)
	if err == nil {
		err = w.check(request)
	}
	if err != nil {
		writeError(rw, err)
		return
	}
	if !w.status.begin() { // told to stop since the request began
		writeError(rw, w.notServing())
		return
	}
	defer w.status.end()
	if request.Stream {
		w.stream(rw, r, request)
		return
	}
	w.complete(rw, r, request)
}

// readChatRequest decodes the body and checks what does not depend on this worker.
func readChatRequest(rw http.ResponseWriter, r *http.Request) (chatRequest, *apiError) {
	control := http.NewResponseController(rw)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer has deadlines
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	_ = control.SetReadDeadline(time.Time{}) // or the end of the deadline would look like a lost client
	if err != nil {
		return chatRequest{}, refuseBody(err)
	}
	return decodeChatRequest(body)
}

func refuseBody(err error) *apiError {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(http.StatusRequestEntityTooLarge, "request_too_large", "",
			fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(http.StatusRequestTimeout, "request_timeout", "", "the body did not arrive in time")
	}
	return refuse(http.StatusBadRequest, "invalid_body", "", "the body could not be read")
}

func decodeChatRequest(body []byte) (request chatRequest, refusal *apiError) {
	if err := json.Unmarshal(body, &request); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
			return request, refuse(http.StatusBadRequest, "invalid_type", wrong.Field,
				wrong.Field+" has the wrong type: "+wrong.Value)
		}
		return request, refuse(http.StatusBadRequest, "invalid_json", "", "the body is no chat request: "+err.Error())
	}
	if len(request.Messages) == 0 {
		return request, refuse(http.StatusBadRequest, "missing_required_parameter", "messages", "messages is missing or empty")
	}
	for i, message := range request.Messages {
		if message.Role == "" {
			param := fmt.Sprintf("messages[%d].role", i)
			return request, refuse(http.StatusBadRequest, "missing_required_parameter", param, param+" is missing")
		}
	}
	if request.N != nil && *request.N != 1 {
		return request, refuse(http.StatusBadRequest, "unsupported_value", "n", "n can only be 1")
	}
	if request.maxTokens() < 1 {
		return request, refuse(http.StatusBadRequest, "invalid_value", "max_tokens", "max_tokens must be at least 1")
	}
	return request, nil
}

func (r chatRequest) maxTokens() int {
	switch {
	case r.MaxCompletionTokens != nil:
		return min(*r.MaxCompletionTokens, mostTokens)
	case r.MaxTokens != nil:
		return min(*r.MaxTokens, mostTokens)
	}
	return defaultMaxTokens
}

func (w *worker) check(request chatRequest) *apiError {
	if request.Model != "" && request.Model != w.config.model {
		return refuse(http.StatusNotFound, "model_not_found", "model",
			fmt.Sprintf("model %q is not served here; this worker serves %q", request.Model, w.config.model))
	}
	return nil
}

// complete answers with the whole text.
func (w *worker) complete(rw http.ResponseWriter, r *http.Request, request chatRequest) {
	var text strings.Builder
	usage, finish, err := w.generate(r.Context(), request, func(token string) error {
		text.WriteString(token)
		return nil
	})
	if errors.Is(err, errStopping) {
		writeError(rw, w.notServing())
		return
	}
	if err != nil { // the client has gone
		return
	}
	completion := w.completion("chat.completion", chatChoice{
		Message:      &chatMessage{Role: "assistant", Content: chatContent(text.String())},
		FinishReason: &finish,
	})
	completion.Usage = &usage
	writeJSON(rw, http.StatusOK, completion)
}

// generate emits the tokens of the answer, one per token time, until the text or max_tokens ends, emit fails, or
// ctx ends; the error says which of the last two.
func (w *worker) generate(ctx context.Context, request chatRequest, emit func(token string) error) (chatUsage, string, error) {
	usage := chatUsage{PromptTokens: countTokens(request.Messages)}
	finish := finishStop
	for token := range w.generator.answer(w.config.model, request.Seed, request.Messages) {
		if usage.CompletionTokens == request.maxTokens() {
			finish = finishLength
			break
		}
		if usage.CompletionTokens > 0 { // the first comes at once
			if err := pause(ctx, w.config.tokenTime); err != nil {
				return usage, "", err
			}
		}
		if err := emit(token); err != nil {
			return usage, "", err
		}
		usage.CompletionTokens++
	}
	usage.TotalTokens = usage.PromptTokens + usage.CompletionTokens
	return usage, finish, nil
}

// completion makes an answer or a chunk with a fresh id.
func (w *worker) completion(object string, choices ...chatChoice) chatCompletion {
	return chatCompletion{
		ID: w.newID(), Object: object, Created: w.now().Unix(), Model: w.config.model,
		SystemFingerprint: implementation + "-" + workerVersion(), Choices: choices,
	}
}
