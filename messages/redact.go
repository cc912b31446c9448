package messages

import (
	"regexp"
	"strings"
)

// userinfo matches what stands before the host of a URL: a name, and often a password, which may hold an '@' itself.
var userinfo = regexp.MustCompile(`(://)[^/?#\s]*@`)

// Redact removes the credentials from every URL in text. What is narrated, answered as an error or logged goes through it.
func Redact(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return userinfo.ReplaceAllString(text, "${1}***@")
}
