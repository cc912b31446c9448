package queen

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// setting is one field that we care about: what we leave alone an administrator may choose.
type setting struct {
	name  string
	value func(*jetstream.StreamConfig) any // a pointer to the field
	fixed bool
	// narrows says whether going from the first to the second keeps less; nil: never.
	narrows func(have, want any) bool
}

const replicas = "num_replicas"

var settings = []setting{
	{"description", func(c *jetstream.StreamConfig) any { return &c.Description }, false, nil},
	{"subjects", func(c *jetstream.StreamConfig) any { return &c.Subjects }, false, fewer},
	{"retention", func(c *jetstream.StreamConfig) any { return &c.Retention }, true, nil},
	{"storage", func(c *jetstream.StreamConfig) any { return &c.Storage }, true, nil},
	{replicas, func(c *jetstream.StreamConfig) any { return &c.Replicas }, false, lower[int]},
	{"discard", func(c *jetstream.StreamConfig) any { return &c.Discard }, false, nil},
	{"discard_new_per_subject", func(c *jetstream.StreamConfig) any { return &c.DiscardNewPerSubject }, false, nil},
	{"max_msgs_per_subject", func(c *jetstream.StreamConfig) any { return &c.MaxMsgsPerSubject }, false, lower[int64]},
	{"max_msgs", func(c *jetstream.StreamConfig) any { return &c.MaxMsgs }, false, lower[int64]},
	{"max_bytes", func(c *jetstream.StreamConfig) any { return &c.MaxBytes }, false, lower[int64]},
	{"max_msg_size", func(c *jetstream.StreamConfig) any { return &c.MaxMsgSize }, false, lower[int32]},
	{"max_age", func(c *jetstream.StreamConfig) any { return &c.MaxAge }, false, lower[time.Duration]},
	{"max_consumers", func(c *jetstream.StreamConfig) any { return &c.MaxConsumers }, false, nil},
	{"duplicate_window", func(c *jetstream.StreamConfig) any { return &c.Duplicates }, false, lower[time.Duration]},
	{"allow_msg_ttl", func(c *jetstream.StreamConfig) any { return &c.AllowMsgTTL }, false, nil},
	{"subject_delete_marker_ttl", func(c *jetstream.StreamConfig) any { return &c.SubjectDeleteMarkerTTL }, false, nil},
	{"allow_direct", func(c *jetstream.StreamConfig) any { return &c.AllowDirect }, false, nil},
	{"persist_mode", func(c *jetstream.StreamConfig) any { return &c.PersistMode }, true, nil},
}

// fixedIn reports whether the server does not change the setting in a stream that is like have: one that does not wait for the disk
// stays on one server for good.
func (s setting) fixedIn(have jetstream.StreamConfig) bool {
	return s.fixed || s.name == replicas && have.PersistMode == jetstream.AsyncPersistMode
}

// differences returns the settings in which have is not as want.
func differences(have, want jetstream.StreamConfig) []FieldChange {
	var fields []FieldChange
	for _, s := range settings {
		a, b := valueOf(s, &have), valueOf(s, &want)
		if reflect.DeepEqual(a, b) {
			continue
		}
		fields = append(fields, FieldChange{
			Field: s.name, Have: fmt.Sprint(a), Want: fmt.Sprint(b), Narrows: s.narrows != nil && s.narrows(a, b), Fixed: s.fixedIn(have),
		})
	}
	return fields
}

// merged returns have with the settings of want that can be changed. What an administrator chose besides stays.
func merged(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	now := have
	for _, s := range settings {
		if !s.fixedIn(now) {
			reflect.ValueOf(s.value(&have)).Elem().Set(reflect.ValueOf(s.value(&want)).Elem())
		}
	}
	return have
}

func valueOf(s setting, c *jetstream.StreamConfig) any {
	return reflect.ValueOf(s.value(c)).Elem().Interface()
}

// lower reports whether a limit becomes tighter. 0 and less mean that there is none.
func lower[N ~int | ~int32 | ~int64](have, want any) bool {
	a, b := have.(N), want.(N)
	return b > 0 && (a <= 0 || b < a)
}

// fewer reports whether something is no longer taken.
func fewer(have, want any) bool {
	for _, subject := range have.([]string) {
		if !slices.Contains(want.([]string), subject) {
			return true
		}
	}
	return false
}
