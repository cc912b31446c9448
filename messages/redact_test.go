package messages_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                  "",
		"http://localhost:8500":             "http://localhost:8500",
		"http://user:secret@host/x":         "http://***@host/x",
		"s3://key:hun@ter2@bucket/model":    "s3://***@bucket/model",
		"a http://u@h b https://u:p@h2?x=@": "a http://***@h b https://***@h2?x=@",
		"me@example.com":                    "me@example.com",
		"http://host/path@2":                "http://host/path@2",
	} {
		require.Equal(t, want, messages.Redact(text))
	}
	require.NotContains(t, messages.Errorf(messages.Internal, "cannot reach http://u:secret@h").Message, "secret")
}
