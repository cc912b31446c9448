package messages_test

import (
	"maps"
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
		"operation": oneOf(string(messages.WorkerSpawn), ""), "job_id": matches(openIDPattern), "hive_id": matches(openIDPattern),
		"model": text(modelPattern, 1024), "device": text(textPattern, 64), "worker_id": matches(openIDPattern), "worker": matches(workerPattern),
		"version": matches(versionPattern), "port": between(0, 65535), "queen_url": text(urlPattern, 2048), "wait": orNothing(tb, "Wait"),
		"ready_timeout_ms": between(0, float64(messages.MaxReadyTimeout.Milliseconds())),
	})
	job.Required = []string{"model", "device"}
	job.Properties["device"].MinLength = new(1)
	job.AdditionalProperties = nothing()
	all := map[string]*jsonschema.Schema{
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
	maps.Copy(all, requestSchemas(tb))
	maps.Copy(all, answerSchemas(tb))
	return all
}

// requestSchemas returns the schemas of the requests other than a job.
func requestSchemas(tb testing.TB) map[string]*jsonschema.Schema {
	tb.Helper()
	return map[string]*jsonschema.Schema{
		"list": ask[messages.ListRequest](tb, "A request for a hive's workers. "+closed, messages.WorkerList, map[string]rule{
			"after": matches(openIDPattern),
		}),
		"get": ask[messages.GetRequest](tb, "A request for one worker. "+closed, messages.WorkerGet, map[string]rule{
			"worker_id": matches(idPattern),
		}),
		"delete": ask[messages.DeleteJob](tb, "A job that ends a worker. "+closed, messages.WorkerDelete, map[string]rule{
			"job_id": matches(openIDPattern), "worker_id": matches(idPattern), "pid": zeroOr(2, maxPID),
			"grace_ms": between(0, float64(messages.MaxGrace.Milliseconds())),
		}),
		"logs": ask[messages.LogsRequest](tb, "A request for a part of a worker's log. "+closed, messages.WorkerLogs, map[string]rule{
			"worker_id": matches(idPattern), "tail": between(0, messages.MaxTail), "from": atLeast(0), "limit": between(0, messages.MaxLogRange),
		}),
		"catalog": ask[messages.CatalogRequest](tb, "A request for the workers that are installed. "+closed, messages.CatalogList, map[string]rule{
			"skip": between(0, messages.MaxSkip),
		}),
		"status": ask[messages.StatusRequest](tb, "A request for how a hive is. "+closed, messages.HiveStatus, nil),
	}
}

// answerSchemas returns the schemas of the answers to those requests.
func answerSchemas(tb testing.TB) map[string]*jsonschema.Schema {
	tb.Helper()
	worker := func(path string, rules map[string]rule) map[string]rule {
		maps.Copy(rules, map[string]rule{
			path + "worker_id": matches(idPattern), path + "job_id": matches(openIDPattern), path + "pid": between(0, maxPID),
			path + "state": oneOf(constants(tb, "State")...), path + "port": between(0, 65535), path + "worker_type": oneOf(append(workerTypes, "")...),
			path + "uptime_ms": atLeast(0), path + "rss_bytes": atLeast(1), path + "cpu_ms": atLeast(1), path + "threads": atLeast(1),
			path + "processes": atLeast(1),
		})
		return withError(tb, path+"failure.", rules)
	}
	return map[string]*jsonschema.Schema{
		"workers": build[messages.WorkerPage](tb, "The answer to a request for a hive's workers. "+open, worker("workers.", map[string]rule{
			"hive_id": matches(idPattern), "next": matches(openIDPattern),
		})),
		"worker": build[messages.WorkerAnswer](tb, "The answer to a request for one worker. "+open, worker("worker.", map[string]rule{
			"hive_id": matches(idPattern),
		})),
		"deleted": build[messages.Deleted](tb, "The answer to a job whose worker is gone. "+open, map[string]rule{
			"job_id": matches(idPattern), "hive_id": matches(idPattern), "worker_id": matches(idPattern), "pid": between(1, maxPID),
			"signal": oneOf(signals...), "took_ms": atLeast(0), "processes": atLeast(1),
		}),
		"log": build[messages.Logs](tb, "The answer to a request for a part of a worker's log. "+open, map[string]rule{
			"hive_id": matches(idPattern), "worker_id": matches(idPattern), "size": atLeast(0), "start": atLeast(0), "from": atLeast(0),
			"next": atLeast(0), "missed": atLeast(1), "state": oneOf(constants(tb, "State")...),
		}),
		"entries": build[messages.CatalogPage](tb, "The answer to a request for the workers that are installed. "+open, map[string]rule{
			"hive_id": matches(idPattern), "next": atLeast(1),
		}),
		"plan": build[messages.Plan](tb, "The answer to a job that is a dry run. "+open, map[string]rule{
			"hive_id": matches(idPattern), "job_id": matches(idPattern), "port": between(0, 65535),
			"worker_type": oneOf(workerTypes...), "source": oneOf(sources...), "health_status": between(100, 599),
		}),
		"hive": build[messages.HiveInfo](tb, "The answer to a request for how a hive is. "+open, map[string]rule{
			"hive_id": matches(idPattern), "workers": atLeast(0), "jobs_running": atLeast(0), "jobs_waiting": atLeast(0),
			"devices.kind": oneOf("cpu", "cuda", "metal"), "devices.index": atLeast(0), "devices.memory_bytes": atLeast(1),
			"devices.memory_used_bytes": atLeast(0), "devices.cores": atLeast(1),
		}),
	}
}

// ask builds the schema of a request of an operation, which allows no other fields.
func ask[T any](tb testing.TB, description string, op messages.Operation, rules map[string]rule) *jsonschema.Schema {
	tb.Helper()
	own := map[string]rule{"operation": oneOf(string(op), ""), "hive_id": matches(openIDPattern)}
	maps.Copy(own, rules)
	schema := build[T](tb, description, own)
	schema.AdditionalProperties = nothing()
	return schema
}

func nothing() *jsonschema.Schema { return &jsonschema.Schema{Not: &jsonschema.Schema{}} }

const (
	closed = "A hive takes nothing else: no other field, none twice, none null."
	open   = "Whoever reads it passes over fields and words that a newer program added."
	maxPID = 1<<31 - 1
)

var (
	workerTypes = []string{"CpuLlm", "CudaLlm", "MetalLlm"}
	sources     = []string{"catalog", "debug", "release"}
	signals     = []string{"SIGTERM", "SIGKILL", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"} // that a manifest may stop a worker with
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
			if field.Items != nil {
				field = field.Items
			}
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
	if schema.Items != nil {
		soften(schema.Items)
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

// zeroOr allows 0 and what is between two numbers.
func zeroOr(least, most float64) rule {
	return func(s *jsonschema.Schema) {
		s.AnyOf = []*jsonschema.Schema{{Minimum: new(0.0), Maximum: new(0.0)}, {Minimum: new(least), Maximum: new(most)}}
	}
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
