package messages_test

import (
	"fmt"
	"strings"

	"github.com/rbee-keeper/hive/messages"
)

// refusal is a job that no hive takes.
type refusal struct {
	payload string
	// names is what the message begins with: the field that is wrong, or "the payload".
	names string
	// unseen marks what a JSON Schema cannot say, or does not: it sees values, not how they are written.
	unseen bool
}

const thePayload = "the payload"

// refusals returns jobs that are not valid, by what is wrong with them.
func refusals() map[string]refusal {
	all := map[string]refusal{
		"nothing":               {payload: "", names: thePayload, unseen: true},
		"only space":            {payload: " \n", names: thePayload, unseen: true},
		"half an object":        {payload: `{"model":"m","device":`, names: thePayload, unseen: true},
		"no JSON":               {payload: `model=m`, names: thePayload, unseen: true},
		"single quotes":         {payload: `{'model':'m'}`, names: thePayload, unseen: true},
		"a comment":             {payload: job(`"port":0 /* any */`), names: thePayload, unseen: true},
		"a comma too many":      {payload: job(`"port":0,`), names: thePayload, unseen: true},
		"a raw control":         {payload: job("\"worker_id\":\"a\nb\""), names: thePayload, unseen: true},
		"a byte order mark":     {payload: "\ufeff" + job(`"port":0`), names: thePayload, unseen: true},
		"a second object":       {payload: job(`"port":0`) + job(`"port":0`), names: thePayload, unseen: true},
		"a bracket too many":    {payload: job(`"port":0`) + "}", names: thePayload, unseen: true},
		"a trailing NUL":        {payload: job(`"port":0`) + "\x00", names: thePayload, unseen: true},
		"bad UTF-8":             {payload: "{\"model\":\"\xff\",\"device\":\"cpu\"}", names: thePayload, unseen: true},
		"half a rune":           {payload: "{\"model\":\"\xe2\x82\",\"device\":\"cpu\"}", names: thePayload, unseen: true},
		"a byte too many":       {payload: padded(messages.MaxPayload + 1), names: thePayload, unseen: true},
		"deeper than any stack": {payload: `{"model":` + strings.Repeat("[", 20_000), names: thePayload, unseen: true},
		"null":                  {payload: "null", names: thePayload},
		"null in space":         {payload: " \t\r\nnull ", names: thePayload},
		"a list":                {payload: `[{"model":"m","device":"cpu"}]`, names: thePayload},
		"a string":              {payload: `"worker_spawn"`, names: thePayload},
		"a number":              {payload: "1", names: thePayload},
		"true":                  {payload: "true", names: thePayload},

		"unknown field":          {payload: job(`"gpu":0`), names: "gpu"},
		"a command":              {payload: job(`"command":"/bin/sh"`), names: "command"},
		"an environment":         {payload: job(`"env":{"LD_PRELOAD":"/tmp/x.so"}`), names: "env"},
		"upper case":             {payload: `{"Model":"m","device":"cpu"}`, names: "Model"},
		"upper case besides":     {payload: job(`"MODEL":"other"`), names: "MODEL"},
		"long s":                 {payload: job(`"ver` + "\u017f" + `ion":"1"`), names: "ver\u017fion"},
		"escaped name":           {payload: `{"mod\u0065l":"m","device":"cpu"}`, names: `mod\u0065l`, unseen: true},
		"empty name":             {payload: job(`"":0`), names: ""},
		"long name":              {payload: job(`"` + strings.Repeat("x", 1000) + `":0`), names: strings.Repeat("x", 64) + "…"},
		"twice":                  {payload: job(`"model":"m"`), names: "model", unseen: true},
		"twice behind an object": {payload: job(`"port":0,"wait":"ready","port":9001`), names: "port", unseen: true},

		"another operation":   {payload: job(`"operation":"worker_delete"`), names: "operation"},
		"operation case":      {payload: job(`"operation":"Worker_Spawn"`), names: "operation"},
		"operation has lines": {payload: job(`"operation":"worker_spawn\nworker_spawn"`), names: "operation"},

		"no model":              {payload: `{"device":"cpu"}`, names: "model"},
		"empty model":           {payload: `{"model":"","device":"cpu"}`, names: "model"},
		"model is a flag":       {payload: `{"model":"--queen-url=http://evil","device":"cpu"}`, names: "model"},
		"model is a dash":       {payload: `{"model":"-","device":"cpu"}`, names: "model"},
		"model is too long":     {payload: fmt.Sprintf(`{"model":%q,"device":"cpu"}`, strings.Repeat("m", 1025)), names: "model"},
		"model has a line end":  {payload: `{"model":"m\n","device":"cpu"}`, names: "model"},
		"model has an escape":   {payload: `{"model":"\u001b[2Jm","device":"cpu"}`, names: "model"},
		"model has a NUL":       {payload: `{"model":"m\u0000","device":"cpu"}`, names: "model"},
		"model has a DEL":       {payload: `{"model":"m\u007f","device":"cpu"}`, names: "model"},
		"model has a C1 char":   {payload: `{"model":"m\u0085","device":"cpu"}`, names: "model"},
		"model is long in UTF8": {payload: fmt.Sprintf(`{"model":%q,"device":"cpu"}`, strings.Repeat("€", 342)), names: "model", unseen: true},

		"no device":              {payload: `{"model":"m"}`, names: "device"},
		"empty device":           {payload: `{"model":"m","device":""}`, names: "device"},
		"device is too long":     {payload: fmt.Sprintf(`{"model":"m","device":%q}`, strings.Repeat("c", 65)), names: "device"},
		"device has a line end":  {payload: `{"model":"m","device":"cpu\r"}`, names: "device"},
		"device has a tabulator": {payload: `{"model":"m","device":"cuda\t0"}`, names: "device"},

		"port below":        {payload: job(`"port":-1`), names: "port"},
		"port above":        {payload: job(`"port":65536`), names: "port"},
		"port far above":    {payload: job(`"port":99999999999999999999`), names: "port"},
		"port of a book":    {payload: job(`"port":9001.` + strings.Repeat("5", 60_000)), names: "port"},
		"port in halves":    {payload: job(`"port":9001.5`), names: "port"},
		"port with a point": {payload: job(`"port":9001.0`), names: "port", unseen: true},
		"port as a power":   {payload: job(`"port":9e3`), names: "port", unseen: true},

		"timeout below":   {payload: job(`"ready_timeout_ms":-1`), names: "ready_timeout_ms"},
		"timeout above":   {payload: job(`"ready_timeout_ms":86400001`), names: "ready_timeout_ms"},
		"timeout as text": {payload: job(`"ready_timeout_ms":"5s"`), names: "ready_timeout_ms"},
	}
	for field, value := range map[string]string{
		"operation": "spawn", "job_id": ".", "hive_id": ".", "worker_id": ".", "worker": "../x", "version": "../1", "queen_url": "ftp://q", "wait": "soon",
	} {
		all["first of two, "+field] = refusal{payload: job(fmt.Sprintf(`"ready_timeout_ms":-1,%q:%q`, field, value)), names: field}
	}
	addWrongTypes(all)
	addWrongText(all)
	return all
}

// addWrongTypes gives each field a value of every type that it does not have.
func addWrongTypes(all map[string]refusal) {
	values := map[string]string{"string": `"1"`, "number": `1`, "bool": `true`, "list": `["cpu"]`, "object": `{"a":"b"}`, "null": `null`}
	for field, kind := range map[string]string{
		"operation": "string", "job_id": "string", "hive_id": "string", "model": "string", "device": "string", "worker_id": "string",
		"worker": "string", "version": "string", "port": "number", "queen_url": "string", "wait": "string",
		"ready_timeout_ms": "number", "deadline": "string",
	} {
		for other, value := range values {
			if other == kind {
				continue
			}
			fields := map[string]string{"model": `"m"`, "device": `"cpu"`, field: value}
			var list []string
			for name, value := range fields {
				list = append(list, fmt.Sprintf("%q:%s", name, value))
			}
			all[field+" is a "+other] = refusal{payload: "{" + strings.Join(list, ",") + "}", names: field}
		}
	}
}

// addWrongText gives each field that is more than text values of another form.
func addWrongText(all map[string]refusal) {
	for field, values := range map[string][]string{
		"job_id": badIDs(), "hive_id": badIDs(), "worker_id": badIDs(),
		"worker":   {".", "..", "../x", ".hidden", "a/b", `a\b`, "-x", "_x", "a b", "ä", "a\n", "a*", strings.Repeat("a", 65)},
		"version":  {".", "..", "../1", "-1", "+1", "1/2", "1 ", "1\n", "1~2", strings.Repeat("1", 65)},
		"wait":     {"Ready", "ready ", "exited", "spawned\n"},
		"deadline": badTimes(),
		"queen_url": {
			"localhost:8500", "queen", "//queen", "/v1", "ftp://queen", "file:///etc/passwd", "http:", "http://", "http:///path", "http:queen",
			"http://queen\n", "http://qu\u0085een", "http://" + strings.Repeat("q", 2048),
		},
	} {
		for _, value := range values {
			all[fmt.Sprintf("%s %.40q", field, value)] = refusal{payload: job(fmt.Sprintf("%q:%s", field, quote(value))), names: field}
		}
	}
	for _, value := range []string{
		"http://:8500", "http://a b", "http://[::1", "http://queen:port", "http://queen:65536", "http://queen:0", "http://queen/%zz", "http://?",
		"http://" + strings.Repeat("é", 1021),
	} {
		all[fmt.Sprintf("queen_url %.40q", value)] = refusal{payload: job(`"queen_url":` + quote(value)), names: "queen_url", unseen: true}
	}
	for _, value := range []string{"2026-02-30T12:00:00Z", "0000-06-01T00:00:00Z", "9999-12-31T23:59:59-01:00"} {
		all["deadline "+value] = refusal{payload: job(`"deadline":` + quote(value)), names: "deadline", unseen: true}
	}
}

// job returns a job that holds fields besides what is required.
func job(fields string) string { return `{"model":"m","device":"cpu",` + fields + `}` }

// padded returns a valid job of size bytes.
func padded(size int) string {
	text := job(`"port":0`)
	return text + strings.Repeat(" ", size-len(text))
}

// badIDs returns what is no id.
func badIDs() []string {
	return []string{
		".", "..", "a.b", ".a", "a.", "*", ">", "a*", "a>", "a b", " a", "a ", "a/b", `a\b`, "a\nb", "a\n", "\x00", "a\x7f", "ä", "ａ", "٣", "а",
		"job\u200b1", "@hive", "@worker", "$SYS", "a:b", "a,b", "a%2e", "%", "'", `"`, strings.Repeat("a", 65), strings.Repeat("ä", 33),
	}
}

// badTimes returns what is no time.
func badTimes() []string {
	return []string{
		"", "tomorrow", "2026-11-22", "12:00:00Z", "2026-11-22T12:00:00", "2026-11-22 12:00:00Z", "2026-11-22t12:00:00z", "1795348800",
		"2026-13-22T12:00:00Z", "2026-11-32T12:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T12:60:00Z", "2026-11-22T12:00:60Z",
		"2026-11-22T12:00Z", "2026-11-22T12:00:00+25:00", "2026-11-22T12:00:00+0100", "+2026-11-22T12:00:00Z",
		"10000-01-01T00:00:00Z", "2026-11-22T12:00:00Z\n",
	}
}
