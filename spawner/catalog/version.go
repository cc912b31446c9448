package catalog

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// release is the version of an entry: a full semantic version, or the name of a build.
//
// A build's name is a word and numbers, such as b6795 or r12.3: what projects use that publish builds and no versions. It
// is never a prerelease.
type release struct {
	semver *semver.Version // nil: a build's name
	word   string
	parts  []uint64
	text   string
}

var (
	errVersion = errors.New("want a semantic version such as 1.2.3, or a build's name such as b6795")
	buildName  = regexp.MustCompile(`^([A-Za-z]{1,16})([0-9]{1,18}(?:[._][0-9]{1,18})*)$`)
)

// parseRelease reads a version as it stands in the name of an entry, without the "v" before it.
func parseRelease(text string) (*release, error) {
	if version, err := semver.StrictNewVersion(text); err == nil {
		return &release{semver: version, text: version.String()}, nil
	}
	match := buildName.FindStringSubmatch(text)
	if match == nil || strings.EqualFold(match[1], "v") { // v1.0 is a version with the mark that stands before it
		return nil, errVersion
	}
	named := &release{word: match[1], text: text}
	for _, digits := range strings.FieldsFunc(match[2], func(r rune) bool { return r == '.' || r == '_' }) {
		number, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return nil, errVersion
		}
		named.parts = append(named.parts, number)
	}
	return named, nil
}

// String returns the version as it is asked for.
func (r *release) String() string { return r.text }

// prerelease reports whether r is chosen only when it is asked for or pinned.
func (r *release) prerelease() bool { return r.semver != nil && r.semver.Prerelease() != "" }

// compareReleases orders versions from the lowest to the highest. Semantic versions are higher than builds; builds of one
// word are ordered by their numbers, b999 before b6795. No two texts are equal: what has no meaning orders them, too.
func compareReleases(a, b *release) int {
	switch {
	case a.semver == nil && b.semver != nil:
		return -1
	case a.semver != nil && b.semver == nil:
		return 1
	case a.semver != nil:
		return cmp.Or(a.semver.Compare(b.semver), strings.Compare(a.semver.Metadata(), b.semver.Metadata()), strings.Compare(a.text, b.text))
	}
	return cmp.Or(
		strings.Compare(strings.ToLower(a.word), strings.ToLower(b.word)), slices.Compare(a.parts, b.parts), strings.Compare(a.text, b.text),
	)
}
