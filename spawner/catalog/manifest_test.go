package catalog_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

// update makes the tests write what they otherwise compare.
var update = flag.Bool("update", false, "rewrite testdata and docs/schemas/manifest.schema.json")

func fullManifest() *catalog.Manifest {
	return &catalog.Manifest{
		Name: "llama-server", Version: "b6795", Description: "llama.cpp with CUDA 12", WorkerType: "CudaLlm", Devices: []string{"cuda"},
		Binary: "bin/llama-server", SHA256: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
		Args: []string{"--model", "${model}", "--host", "127.0.0.1", "--port", "${port}", "--alias", "${worker_id}", "--price", "$5", "$${kept}"},
		Env: catalog.Env{
			Set:  map[string]string{"CUDA_VISIBLE_DEVICES": "${device_uuid}", "LLAMA_CACHE": "${entry_dir}/cache"},
			Pass: []string{"HF_TOKEN"}, Strip: []string{"LLAMA_ARG_*", "LD_PRELOAD"},
		},
		Files: []string{"lib/libllama.so", "/etc/hostname"}, Health: catalog.Health{Path: "/health?fail_on_no_slot=1", Status: 204},
		Stop: catalog.Stop{Signal: "SIGINT", Grace: catalog.Duration(90 * time.Second)}, Build: []string{"make", "llama-server"},
	}
}

func TestManifestIsReadWhole(t *testing.T) {
	t.Parallel()
	got, err := catalog.ReadManifest(filepath.Join("testdata", "manifests", "full.json"))
	require.NoError(t, err)
	require.Equal(t, fullManifest(), got)

	empty, err := catalog.DecodeManifest("m", []byte(" {}\n"))
	require.NoError(t, err)
	require.Equal(t, new(catalog.Manifest), empty)
	require.Equal(t, "/health", empty.HealthPath())
	require.Equal(t, 200, empty.HealthStatus())

	none, err := catalog.DecodeManifest("m", []byte(`{"args":[]}`))
	require.NoError(t, err)
	require.NotNil(t, none.Args, "no arguments are something else than those of the contract")
}

// What is written of a manifest is read as the same manifest: an entry's is written anew when it is installed.
func TestManifestIsWrittenAsItWasRead(t *testing.T) {
	t.Parallel()
	for _, want := range []*catalog.Manifest{fullManifest(), new(catalog.Manifest), {Args: []string{}}} {
		data, err := json.Marshal(want)
		require.NoError(t, err)
		got, err := catalog.DecodeManifest("m", data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, want, got)
	}
}

// refusedManifests are manifests that nobody may read, each with the place and the text of its error.
func refusedManifests() map[string]struct{ text, at, says string } {
	return map[string]struct{ text, at, says string }{
		"nothing":              {"", "1:1", "ends before"},
		"half":                 {"{\n  \"name\": \"w\"", "2:14", "ends before"},
		"no object":            {`["w"]`, "1:1", "is a list; it must be an object"},
		"null":                 {"null", "1:1", "is null; it must be an object"},
		"no JSON":              {"{\n  name: w\n}", "2:3", "is not JSON"},
		"something behind":     {"{}\n{}", "2:1", "something follows"},
		"bad UTF-8":            {"{\"name\":\n\"w\xff\"}", "2:3", "UTF-8"},
		"unknown field":        {"{\n  \"name\": \"w\",\n  \"comand\": [\"sh\"]\n}", "3:3", "comand: unknown field; the known ones are name, "},
		"a field in capitals":  {`{"Name":"w"}`, "1:2", "Name: unknown field"},
		"twice":                {`{"name":"w","name":"w"}`, "1:13", "name: stands there twice"},
		"a null":               {`{"name":null}`, "1:9", "name: is null; it must be a string"},
		"a number as name":     {`{"name":7}`, "1:9", "name: is a number; it must be a string"},
		"a path as name":       {`{"name":"../w"}`, "1:9", "name: want a name"},
		"version of two parts": {`{"version":"1.2"}`, "1:12", "version: want a semantic version"},
		"version with v":       {`{"version":"v1.2.3"}`, "1:12", "version: want a semantic version"},
		"another type":         {`{"worker_type":"TpuLlm"}`, "1:16", "worker_type: is TpuLlm; use one of CpuLlm"},
		"another device":       {`{"devices":["cpu","tpu"]}`, "1:19", "devices[1]: is tpu; use cpu, cuda"},
		"device of another's":  {`{"devices":["cpu:0"]}`, "1:13", "devices[0]: is cpu:0"},
		"args as text":         {`{"args":"--model m"}`, "1:9", "args: is a string; it must be a list"},
		"an arg as a number":   {"{\"args\": [\n \"--port\",\n 9001\n]}", "3:2", "args[1]: is a number; it must be a string"},
		"unknown value":        {"{\"args\": [\n  \"--model\", \"${mudel}\"\n]}", "2:14", "args[1]: ${mudel} stands for nothing; the known names are worker_id, "},
		"value not closed":     {`{"args":["${model"]}`, "1:10", "args[0]: ${model is not closed"},
		"value without a name": {`{"args":["${}"]}`, "1:10", "args[0]: ${} is not closed or has no name"},
		"a line in an arg":     {`{"args":["a\nb"]}`, "1:10", "args[0]: holds the control character U+000A"},
		"a NUL in an arg":      {`{"args":["a\u0000b"]}`, "1:10", "args[0]: holds the control character U+0000"},
		"a long arg":           {`{"args":["` + strings.Repeat("x", 4097) + `"]}`, "1:10", "at most 4096"},
		"257 args":             {`{"args":[` + strings.Repeat(`"x",`, 256) + `"x"]}`, "1:1033", "args[256]: there are more than 256"},
		"path upwards":         {`{"binary":"../bin/sh"}`, "1:11", "binary: is ../bin/sh, which is not a plain path"},
		"path with dots":       {`{"binary":"/opt/../bin/sh"}`, "1:11", "binary: is /opt/../bin/sh; write it without"},
		"path that is empty":   {`{"binary":""}`, "1:11", "binary: is empty"},
		"file upwards":         {`{"files":["a/../../b"]}`, "1:11", "files[0]: is a/../../b"},
		"checksum in capitals": {`{"sha256":"` + strings.Repeat("A", 64) + `"}`, "1:11", "sha256: is no checksum"},
		"env as a list":        {`{"env":["A=b"]}`, "1:8", "env: is a list; it must be an object"},
		"unknown in env":       {`{"env":{"add":{}}}`, "1:9", "env.add: unknown field; the known ones are set, pass, strip"},
		"a number in env":      {`{"env":{"set":{"A":1}}}`, "1:20", "env.set.A: is a number"},
		"the hive's secret":    {`{"env":{"pass":["NATS_PASSWORD"]}}`, "1:17", "env.pass[0]: NATS_PASSWORD is the hive's own"},
		"the hive's own":       {`{"env":{"set":{"RBEE_PORT":"1"}}}`, "1:16", "env.set.RBEE_PORT: RBEE_PORT is the hive's own"},
		"systemd's":            {`{"env":{"pass":["CREDENTIALS_DIRECTORY"]}}`, "1:17", "CREDENTIALS_DIRECTORY is the hive's own"},
		"no variable":          {`{"env":{"pass":["A B"]}}`, "1:17", "env.pass[0]: A B is no name of a variable"},
		"a star in between":    {`{"env":{"strip":["A*B"]}}`, "1:18", "env.strip[0]: A*B is no name of a variable"},
		"all stripped":         {`{"env":{"strip":["*"]}}`, "1:18", "env.strip[0]"},
		"unknown env value":    {`{"env":{"set":{"A":"${home}"}}}`, "1:20", "env.set.A: ${home} stands for nothing"},
		"health elsewhere":     {`{"health":{"path":"http://queen/health"}}`, "1:19", "health.path: is http://queen/health; use a path"},
		"health with a space":  {`{"health":{"path":"/a b"}}`, "1:19", "health.path"},
		"status as text":       {`{"health":{"status":"200"}}`, "1:21", "health.status: is a string; it must be a whole number"},
		"status in halves":     {`{"health":{"status":200.5}}`, "1:21", "health.status: is 200.5; use a whole number from 100 to 599"},
		"status of nothing":    {`{"health":{"status":0}}`, "1:21", "health.status: is 0"},
		"another signal":       {`{"stop":{"signal":"SIGSTOP"}}`, "1:19", "stop.signal: is SIGSTOP; use one of SIGTERM, "},
		"signal without SIG":   {`{"stop":{"signal":"TERM"}}`, "1:19", "stop.signal: is TERM"},
		"grace as a number":    {`{"stop":{"grace":30}}`, "1:18", "stop.grace: is a number; it must be a string"},
		"grace without a unit": {`{"stop":{"grace":"30"}}`, "1:18", "stop.grace: is 30; use a time such as 30s"},
		"no grace":             {`{"stop":{"grace":"0s"}}`, "1:18", "stop.grace: is 0s"},
		"a day of grace":       {`{"stop":{"grace":"24h"}}`, "1:18", "stop.grace: is 24h"},
		"columns are of runes": {`{"description":"é","xame":"w"}`, "1:20", "xame: unknown field"},
		"too large":            {`{"description":"` + strings.Repeat(" ", catalog.MaxManifest) + `"}`, "1:1", "more than 65536 bytes"},
	}
}

func TestManifestErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	for what, test := range refusedManifests() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got, err := catalog.DecodeManifest("/c/w/worker.json", []byte(test.text))
			require.Nil(t, got)
			require.ErrorAs(t, err, new(*catalog.SyntaxError))
			require.True(t, strings.HasPrefix(err.Error(), "/c/w/worker.json:"+test.at+": "), err.Error())
			require.ErrorContains(t, err, test.says)
			requireOneLine(t, err)
			require.Less(t, len(err.Error()), 512)
		})
	}
}

const schemaPath = "../../docs/schemas/manifest.schema.json"

func manifestSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text := &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	schema, err := jsonschema.For[catalog.Manifest](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{reflect.TypeFor[catalog.Duration](): text}})
	require.NoError(t, err)
	notNull(schema)
	schema.Schema, schema.Title = "https://json-schema.org/draft/2020-12/schema", "manifest"
	schema.Description = "A manifest (worker.json) of a catalog entry: how its worker is started, asked for its health and ended. Nothing else may stand in it."
	const plain = `^[^\x00-\x1f\x7f-\x9f]*$`
	names := strings.Join(catalog.Values, "|")
	template := `^([^$\x00-\x1f\x7f-\x9f]|\$+([^${\x00-\x1f\x7f-\x9f]|$)|\$\{(` + names + `)\}|\$\$\{)*$`
	p := schema.Properties
	p["name"].Pattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`
	p["worker_type"].Enum = []any{"CpuLlm", "CudaLlm", "MetalLlm"}
	p["devices"].Items.Pattern = `^(cpu|metal|cuda|cuda:(0|[1-9][0-9]{0,3}))$`
	p["sha256"].Pattern = `^[0-9a-f]{64}$`
	p["binary"].Pattern, p["binary"].MinLength = plain, new(1)
	p["description"].Pattern = plain
	p["args"].Items.Pattern, p["args"].MaxItems = template, new(256)
	p["files"].Items.Pattern = plain
	p["build"].Items.Pattern = plain
	p["env"].Properties["set"].AdditionalProperties.Pattern = template
	p["env"].Properties["pass"].Items.Pattern = `^[A-Za-z_][A-Za-z0-9_]*$`
	p["env"].Properties["strip"].Items.Pattern = `^[A-Za-z_][A-Za-z0-9_]*\*?$`
	p["health"].Properties["path"].Pattern = `^/[!-~]*$`
	p["health"].Properties["status"].Minimum, p["health"].Properties["status"].Maximum = new(100.0), new(599.0)
	for _, signal := range catalog.Signals {
		p["stop"].Properties["signal"].Enum = append(p["stop"].Properties["signal"].Enum, signal)
	}
	return schema
}

// notNull takes out that lists and maps may be null, which a manifest's never are.
func notNull(schema *jsonschema.Schema) {
	if len(schema.Types) > 0 {
		for _, kind := range schema.Types {
			if kind != "null" {
				schema.Type = kind
			}
		}
		schema.Types = nil
	}
	for _, field := range schema.Properties {
		notNull(field)
	}
	if schema.Items != nil {
		notNull(schema.Items)
	}
}

func TestManifestSchemaIsWhatTheTypeSays(t *testing.T) {
	t.Parallel()
	text, err := json.MarshalIndent(manifestSchema(t), "", "  ")
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(schemaPath, append(text, '\n'), 0o644))
	}
	got, err := os.ReadFile(schemaPath)
	require.NoError(t, err, "run: go test ./spawner/catalog -update")
	require.Equal(t, string(text)+"\n", string(got), "if the code is right: go test ./spawner/catalog -update")
}

// unseen are what a schema cannot see to be wrong.
var unseen = map[string]bool{
	"something behind": true, "twice": true, "version of two parts": true, "version with v": true, "path upwards": true, "path with dots": true,
	"file upwards": true, "the hive's secret": true, "the hive's own": true, "systemd's": true, "no grace": true, "a day of grace": true,
	"a long arg": true, "too large": true, "nothing": true, "half": true, "no JSON": true, "bad UTF-8": true,
}

func TestManifestSchemaAcceptsAndRefusesWhatIsReadAndRefused(t *testing.T) {
	t.Parallel()
	schema, err := manifestSchema(t).Resolve(nil)
	require.NoError(t, err)
	full, err := os.ReadFile(filepath.Join("testdata", "manifests", "full.json"))
	require.NoError(t, err)
	validate := func(text []byte) error {
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return err
		}
		return schema.Validate(value)
	}
	for _, text := range []string{string(full), `{}`, `{"args":["$","$$","$${x}","a$","$a"]}`} {
		_, err := catalog.DecodeManifest("m", []byte(text))
		require.NoError(t, err, text)
		require.NoError(t, validate([]byte(text)), text)
	}
	for what, test := range refusedManifests() {
		if !unseen[what] {
			require.Error(t, validate([]byte(test.text)), what)
		}
	}
}

// Whatever a file holds, it is read or refused with a place in it.
func FuzzDecodeManifest(f *testing.F) {
	for _, test := range refusedManifests() {
		if len(test.text) < 1000 {
			f.Add([]byte(test.text))
		}
	}
	full, err := os.ReadFile(filepath.Join("testdata", "manifests", "full.json"))
	require.NoError(f, err)
	f.Add(full)
	f.Add([]byte(`{"devices":[],"files":[],"build":["make"],"args":[],"env":{"set":{},"pass":[],"strip":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := catalog.DecodeManifest("m", data)
		if err != nil {
			var syntax *catalog.SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.LessOrEqual(t, syntax.Line, strings.Count(string(data), "\n")+1)
			require.Positive(t, syntax.Column)
			requireOneLine(t, err)
			return
		}
		written, err := json.Marshal(got)
		require.NoError(t, err)
		again, err := catalog.DecodeManifest("m", written)
		require.NoError(t, err, string(written))
		require.Equal(t, got, again)
	})
}

func TestServes(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		manifest *catalog.Manifest
		serves   []string
		says     string
	}{
		"no manifest":  {nil, []string{"cpu", "cuda:0", "cuda:1", "metal"}, "all"},
		"nothing said": {&catalog.Manifest{}, []string{"cpu", "cuda:0", "cuda:1", "metal"}, "all"},
		"a type":       {&catalog.Manifest{WorkerType: "CudaLlm"}, []string{"cuda:0", "cuda:1"}, "cuda"},
		"a kind":       {&catalog.Manifest{Devices: []string{"cpu", "metal"}}, []string{"cpu", "metal"}, "cpu, metal"},
		"one GPU":      {&catalog.Manifest{Devices: []string{"cuda:1"}}, []string{"cuda:1"}, "cuda:1"},
		"both":         {&catalog.Manifest{WorkerType: "CpuLlm", Devices: []string{"cpu", "cuda"}}, []string{"cpu"}, "cpu, cuda"},
	} {
		var serves []string
		for _, device := range []string{"cpu", "cuda:0", "cuda:1", "metal"} {
			kind, _, _ := strings.Cut(device, ":")
			if test.manifest.Serves(kind, device) {
				serves = append(serves, device)
			}
		}
		require.Equal(t, test.serves, serves, what)
		require.Equal(t, test.says, test.manifest.Served(), what)
	}
}
