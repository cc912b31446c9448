package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func answerText(g *generator, model string, seed *int64, prompts ...string) string {
	var messages []chatMessage
	for _, prompt := range prompts {
		messages = append(messages, chatMessage{Role: "user", Content: chatContent(prompt)})
	}
	return strings.Join(slices.Collect(g.answer(model, seed, messages)), "")
}

func TestAnswerDependsOnEveryPart(t *testing.T) {
	t.Parallel()
	g := newGenerator()
	one := int64(1)
	answers := map[string]string{
		"plain":       answerText(g, "m", nil, "Hello"),
		"prompt":      answerText(g, "m", nil, "Hello!"),
		"model":       answerText(g, "n", nil, "Hello"),
		"seed":        answerText(g, "m", &one, "Hello"),
		"history":     answerText(g, "m", nil, "Hi", "Hello"),
		"parts moved": answerText(g, "m", nil, "HiHello"),
	}
	seen := map[string]string{}
	for name, answer := range answers {
		require.NotContains(t, seen, answer, "%s and %s have the same answer", name, seen[answer])
		seen[answer] = name
	}
}

// Another generator stands for another process: the order of a map must not show.
func TestAnswerIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	want := answerText(newGenerator(), "m", nil, "Tell me about the river and the bridge")
	for range 20 {
		require.Equal(t, want, answerText(newGenerator(), "m", nil, "Tell me about the river and the bridge"))
	}
}

func TestAnswerFollowsTheTopic(t *testing.T) {
	t.Parallel()
	first, _, _ := strings.Cut(answerText(newGenerator(), "m", nil, "honey?"), " ")
	require.Contains(t, []string{"Honey", "The"}, first, "the sentences about honey begin so")
}

func TestAnswerIsAlwaysText(t *testing.T) {
	t.Parallel()
	g := newGenerator()
	rapid.Check(t, func(t *rapid.T) {
		text := answerText(g, "m", nil, rapid.String().Draw(t, "prompt"))
		require.True(t, utf8.ValidString(text))
		require.True(t, endsSentence(text[len(text)-1:]), text)
		require.NotContains(t, text, " .")
		require.NotContains(t, text, "  ")
		require.Equal(t, strings.TrimSpace(text), text)
	})
}

func TestCountTokens(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		want int
	}{
		"empty":       {"", 0},
		"space":       {" \n\t", 0},
		"words":       {"two words", 2},
		"punctuation": {"Don't stop, well-known one!", 6},
		"other":       {"größer 蜂 42", 3},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, countTokens([]chatMessage{{Role: "user", Content: chatContent(test.text)}}))
		})
	}
}

func BenchmarkAnswer(b *testing.B) {
	g := newGenerator()
	for b.Loop() {
		answerText(g, "m", nil, "Tell me about the river and the bridge")
	}
}
