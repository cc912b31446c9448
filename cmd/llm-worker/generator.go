package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"iter"
	"math/rand/v2"
	"regexp"
	"strings"
)

// source is the text that the generator learned from.
//
//go:embed source.txt
var source string

// tokenPattern splits a text into words and single punctuation marks.
var tokenPattern = regexp.MustCompile(`[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]`)

// generator writes text with a Markov chain over source: each word is one that follows the two words before it
// there, sometimes only the one before. It is read-only after newGenerator and safe for concurrent use.
type generator struct {
	sentences [][]string             // tokens, the last ends the sentence
	about     map[string][]int       // word in lower case → sentences that hold it
	pairs     map[[2]string][]string // two tokens → what followed them
	singles   map[string][]string    // one token → what followed it
}

// A word says what a prompt is about when it is neither short nor common.
const (
	topicLength    = 4 // bytes, at least
	topicSentences = 9 // sentences of source that hold it, at most
)

func newGenerator() *generator {
	g := &generator{about: map[string][]int{}, pairs: map[[2]string][]string{}, singles: map[string][]string{}}
	var sentence []string
	for _, token := range tokenPattern.FindAllString(source, -1) {
		sentence = append(sentence, token)
		if endsSentence(token) {
			g.learn(sentence)
			sentence = nil
		}
	}
	return g
}

func (g *generator) learn(sentence []string) {
	for i, token := range sentence {
		if i > 0 {
			g.singles[sentence[i-1]] = append(g.singles[sentence[i-1]], token)
		}
		if i > 1 {
			pair := [2]string{sentence[i-2], sentence[i-1]}
			g.pairs[pair] = append(g.pairs[pair], token)
		}
		if len(token) >= topicLength {
			word := strings.ToLower(token)
			g.about[word] = append(g.about[word], len(g.sentences))
		}
	}
	g.sentences = append(g.sentences, sentence)
}

// answer returns the tokens of the answer to a conversation, with their spaces: a few sentences that begin like
// sentences about the last message. It depends on the model, the seed and every message, and on nothing else.
func (g *generator) answer(model string, seed *int64, messages []chatMessage) iter.Seq[string] {
	openings := g.openings(string(messages[len(messages)-1].Content))
	return func(yield func(string) bool) {
		random := rand.New(rand.NewChaCha8(digest(model, seed, messages)))
		space := ""
		for range 2 + random.IntN(4) {
			opening := g.sentences[openings[random.IntN(len(openings))]]
			for token := range g.sentence(random, opening) {
				if isPunctuation(token) {
					space = ""
				}
				if !yield(space + token) {
					return
				}
				space = " "
			}
		}
	}
}

// openings returns the sentences that share a word with the prompt, or all when none does.
func (g *generator) openings(prompt string) []int {
	var found []int
	for _, word := range tokenPattern.FindAllString(strings.ToLower(prompt), -1) {
		if sentences := g.about[word]; len(sentences) <= topicSentences {
			found = append(found, sentences...)
		}
	}
	if len(found) > 0 {
		return found
	}
	for i := range g.sentences {
		found = append(found, i)
	}
	return found
}

// sentence walks the chain from the first two words of opening to the end of a sentence.
func (g *generator) sentence(random *rand.Rand, opening []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		before, last := opening[0], opening[1]
		if !yield(before) || !yield(last) {
			return
		}
		for !endsSentence(last) {
			next := g.pairs[[2]string{before, last}]
			if len(next) == 0 || random.IntN(12) == 0 {
				next = g.singles[last]
			}
			before, last = last, next[random.IntN(len(next))]
			if !yield(last) {
				return
			}
		}
	}
}

// digest is the seed of an answer. JSON keeps the parts apart: ("ab", "c") is not ("a", "bc").
func digest(model string, seed *int64, messages []chatMessage) [sha256.Size]byte {
	data, err := json.Marshal([]any{model, seed, messages})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return sha256.Sum256(data)
}

func countTokens(messages []chatMessage) int {
	count := 0
	for _, message := range messages {
		count += len(tokenPattern.FindAllStringIndex(string(message.Content), -1))
	}
	return count
}

func endsSentence(token string) bool  { return token == "." || token == "?" || token == "!" }
func isPunctuation(token string) bool { return strings.Contains(".,;:?!", token) }
