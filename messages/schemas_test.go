package messages_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// What a job may leave open may also be given as "". The patterns mean the same to Go and to ECMAScript.
const (
	idPattern      = `^[A-Za-z0-9_-]{1,64}$`
	openIDPattern  = `^[A-Za-z0-9_-]{0,64}$`
	workerPattern  = `^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$`
	versionPattern = `^([A-Za-z0-9][A-Za-z0-9.+_-]{0,63})?$`
	urlPattern     = `^([Hh][Tt][Tt][Pp][Ss]?://[^/\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*)?$`
	modelPattern   = `^[^\x00-\x1f\x7f-\x9f-][^\x00-\x1f\x7f-\x9f]*$`
	textPattern    = `^[^\x00-\x1f\x7f-\x9f]*$`
	timePattern    = `^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?` +
		`(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
)

// rule says of a field what its Go type does not.
type rule func(*jsonschema.Schema)

// schemas returns the schema of every message by its name: what follows from the Go types, and the rules below.
func schemas(tb testing.TB) map[string]*jsonschema.Schema {
	tb.Helper()
	job := build[messages.Job](tb, "A job, as a queen sends it to a hive. The hive takes nothing else: no other field, none twice, none null.", map[string]rule{
		"operation": orNothing(tb, "Operation"), "job_id": matches(openIDPattern), "hive_id": matches(openIDPattern),
		"model": text(modelPattern, 1024), "device": text(textPattern, 64), "worker_id": matches(openIDPattern), "worker": matches(workerPattern),
		"version": matches(versionPattern), "port": between(0, 65535), "queen_url": text(urlPattern, 2048), "wait": orNothing(tb, "Wait"),
		"ready_timeout_ms": between(0, float64(messages.MaxReadyTimeout.Milliseconds())),
	})
	job.Required = []string{"model", "device"}
	job.Properties["device"].MinLength = new(1)
	job.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	return map[string]*jsonschema.Schema{
		"job": job,
		"result": build[messages.Result](tb, "The answer to a job whose worker runs. "+open, map[string]rule{
			"job_id": matches(idPattern), "hive_id": matches(idPattern), "worker_id": matches(idPattern), "pid": between(1, maxPID),
			"port": between(1, 65535), "worker_type": oneOf(workerTypes...), "source": oneOf(sources...),
		}),
		"failure": build[messages.Failure](tb, "The answer to a job that failed. "+open, withError(tb, "error.", map[string]rule{
			"job_id": matches(idPattern), "hive_id": matches(idPattern),
		})),
		"event": build[messages.Event](tb, "One step of a job's story, or one fact about a hive or a worker. "+open, withError(tb, "fields.error.", map[string]rule{
			"type": oneOf(messages.EventType), "actor": oneOf(messages.Actor), "level": oneOf(constants(tb, "Level")...),
			"action": oneOf(constants(tb, "Action")...), "seq": atLeast(0), "attempt": atLeast(0), "hive_id": matches(idPattern),
			"job_id": matches(idPattern), "worker_id": matches(idPattern), "fields.port": between(1, 65535), "fields.pid": between(1, maxPID),
			"fields.worker_type": oneOf(workerTypes...), "fields.source": oneOf(sources...), "fields.started_by": matches(idPattern),
			"fields.took_ms": atLeast(1), "fields.jobs": atLeast(1),
		})),
		"heartbeat": build[messages.Heartbeat](tb, "What a worker posts to its queen. A queen insists on id, port and status. "+open, map[string]rule{
			"worker.id": matches(idPattern), "worker.hive_id": matches(openIDPattern), "worker.port": between(1, 65535),
			"worker.pid": between(0, maxPID), "worker.status": oneOf(constants(tb, "Status")...), "worker.model_id": text(textPattern, 1024),
			"worker.device": text(textPattern, 1024), "worker.implementation": text(textPattern, 1024),
			"worker.version": text(textPattern, 1024), "worker.host": text(textPattern, 1024),
		}),
	}
}

const (
	open   = "Whoever reads it passes over fields and words that a newer program added."
	maxPID = 1<<31 - 1
)

var (
	workerTypes = []string{"CpuLlm", "CudaLlm", "MetalLlm"}
	sources     = []string{"catalog", "debug", "release"}
)

// withError adds the rules of a [messages.Error] at a path to rules.
func withError(tb testing.TB, path string, rules map[string]rule) map[string]rule {
	tb.Helper()
	rules[path+"code"] = oneOf(constants(tb, "Code")...)
	return rules
}

// build infers the schema of a message from its type and applies rules to its fields, each named by its path.
func build[T any](tb testing.TB, description string, rules map[string]rule) *jsonschema.Schema {
	tb.Helper()
	moment := &jsonschema.Schema{Type: "string", Format: "date-time", Pattern: timePattern}
	schema, err := jsonschema.For[T](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{reflect.TypeFor[time.Time](): moment}})
	require.NoError(tb, err)
	soften(schema)
	schema.Schema = "https://json-schema.org/draft/2020-12/schema"
	schema.Title = strings.ToLower(reflect.TypeFor[T]().Name())
	schema.Description = description
	for path, apply := range rules {
		field := schema
		for name := range strings.SplitSeq(path, ".") {
			require.Contains(tb, field.Properties, name, path)
			field = field.Properties[name]
		}
		apply(field)
	}
	return schema
}

// soften takes out what the inference adds: that no field may be new, and that lists and pointers may be null, which they
// never are because an empty one is left out.
func soften(schema *jsonschema.Schema) {
	schema.AdditionalProperties = nil
	if i := slices.Index(schema.Types, "null"); i >= 0 {
		schema.Type = slices.Delete(slices.Clone(schema.Types), i, i+1)[0]
		schema.Types = nil
	}
	for _, field := range schema.Properties {
		soften(field)
	}
}

func matches(pattern string) rule {
	return func(s *jsonschema.Schema) { s.Pattern = pattern }
}

func text(pattern string, longest int) rule {
	return func(s *jsonschema.Schema) { s.Pattern, s.MaxLength = pattern, new(longest) }
}

func between(least, most float64) rule {
	return func(s *jsonschema.Schema) { s.Minimum, s.Maximum = new(least), new(most) }
}

func atLeast(least float64) rule {
	return func(s *jsonschema.Schema) { s.Minimum = new(least) }
}

func oneOf(values ...string) rule {
	return func(s *jsonschema.Schema) {
		for _, value := range values {
			s.Enum = append(s.Enum, value)
		}
	}
}

// orNothing allows the constants of a type, and "".
func orNothing(tb testing.TB, typeName string) rule {
	tb.Helper()
	return oneOf(append(constants(tb, typeName), "")...)
}
