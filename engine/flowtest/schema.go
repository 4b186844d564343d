package flowtest

import (
	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
)

// Schema is the JSON Schema (draft 2020-12) of files of tests, for editors.
// The caller owns it.
func Schema() map[string]any {
	s := conf.Describe(new(document).bind).Schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Telluride flow tests"
	return s
}

func anyOf(all ...any) map[string]any { return map[string]any{"anyOf": all} }

// mockSchema is the schema of mock:.
func mockSchema() map[string]any {
	return map[string]any{"type": "object", "additionalProperties": map[string]any{
		"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
		"properties": map[string]any{
			"set": map[string]any{"type": "object"}, "output": map[string]any{"type": []any{"array", "object"}}, "error": map[string]any{"type": "string"},
		},
	}}
}

// recordsSchema is the schema of what came to a place.
func recordsSchema() map[string]any {
	long := conf.Describe(func(f *conf.Fields) { new(optionFields).bind(f, new(records)) }).Schema()
	return anyOf(map[string]any{"type": []any{"array", "string"}}, long)
}

// stepsSchema is the schema of steps:.
func stepsSchema() map[string]any {
	one := conf.Describe(describeStep).Schema()
	one["minProperties"], one["maxProperties"] = 1, 1
	return map[string]any{"type": "array", "minItems": 1, "items": anyOf(map[string]any{"enum": words}, one)}
}

// describeStep declares the steps with their values, for the schema and the
// reference; they are decoded by [File.decodeStep].
func describeStep(f *conf.Fields) {
	text := map[string]any{"type": []any{"string", "null"}}
	object := func(bind func(*conf.Fields), short ...any) map[string]any {
		return anyOf(append(short, conf.Describe(bind).Schema())...)
	}
	declare := func(name, doc string, schema map[string]any) {
		f.Object(name, doc, func(*conf.Fields) {}).Schema(schema)
	}
	declare("feed", "Gives messages to a source: a list of rows for the only source, or a mapping.", object(func(f *conf.Fields) {
		var rows, raw, meta *yaml.Node
		new(feedStep).bind(f, &rows, &raw, &meta, &generate{})
	}, map[string]any{"type": "array"}))
	declare("advance", "Lets time pass: 10s.", map[string]any{"type": "string"})
	declare("at", "Lets time pass up to an instant behind the beginning of the script: 30s.", map[string]any{"type": "string"})
	declare("idle", "Lets time pass until the source counts as idle (time: {idle}).", text)
	declare("expect", "What came of the steps before: an expression that every record of the only sink fulfils, or a mapping of places.", object(func(f *conf.Fields) {
		new(expectFields).bind(f)
	}, map[string]any{"type": []any{"array", "string"}}))
	declare("reload", "Changes the flow while it runs: other params, or another flow file.", object(new(changeStep).bind, map[string]any{"type": "string"}))
	declare("crash", "Ends the process as kill -9 does, and starts it again: what was not committed is forgotten, and read again.", map[string]any{"type": "null"})
	declare("lose_session", "Ends the session of a source: the flow starts again from the last commit, after a back-off of 100ms.", text)
	declare("sink_fails", "Has a sink fail from now on.", object(func(f *conf.Fields) {
		var kind string
		var when conf.Expr
		bindSinkFails(f, &sinkStep{}, &kind, &when)
	}))
	declare("drain", "Has the flow finish and commit what was read, and end.", map[string]any{"type": "null"})
	declare("end", "Says that the sources, or one of them, have come to the end of their input.", text)
	declare("start", "Starts a flow that has ended, from what is committed; with other params or another flow file if given.", object(new(changeStep).bind, map[string]any{"type": []any{"string", "null"}}))
}
