package flow

import (
	"slices"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/stage"
)

// reference points to a definition of the schema.
func reference(name string) map[string]any { return map[string]any{"$ref": "#/$defs/" + name} }

// Schema is the JSON Schema (draft 2020-12) of a flow file, for editors: made
// from the declarations that the compiler decodes with. The caller owns it.
//
// It says what a file may look like. What it cannot say (unknown fields of
// records, branches that no record reaches) only Compile finds.
func Schema(r *stage.Registry) map[string]any {
	s := conf.Describe(new(document).bind).Schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Telluride flow"
	s["$defs"] = map[string]any{
		"source":         entrySchema(r, sourceSlot(), new(sourceConfig).bind),
		"stage":          entrySchema(r, stageSlot(), new(stageConfig).bind),
		"step":           entrySchema(r, stepSlot(), new(stageConfig).bind),
		"sink":           entrySchema(r, sinkSlot(), new(sinkConfig).bind),
		"telemetry_sink": entrySchema(r, telemetrySlot(), func(*conf.Fields) {}),
		"feed":           entrySchema(r, feedSlot(), func(*conf.Fields) {}),
		"branch":         conf.Describe(new(branchConfig).bind).Schema(),
	}
	return s
}

func paramSchema() map[string]any { return conf.Describe(new(paramConfig).bind).Schema() }

// entrySchema is the schema of an entry with a kind.
func entrySchema(r *stage.Registry, s slot, bind func(*conf.Fields)) map[string]any {
	kinds := s.kinds(r)
	schema := conf.Describe(func(f *conf.Fields) {
		bind(f)
		for _, name := range kinds {
			if k, ok := s.find(r, name); ok {
				k.Decode(f)
			}
		}
	}).Schema()
	properties := schema["properties"].(map[string]any)
	for _, b := range Grammar() {
		if slices.Contains(s.grammar, b.Name) {
			properties[b.Name] = b.schema()
		}
	}
	// A step declares its own key as required; here any kind may be there.
	delete(schema, "required")
	delete(schema, "allOf")
	schema["type"] = "object"
	var one []any
	for _, name := range kinds {
		one = append(one, map[string]any{"required": []any{name}})
	}
	if one != nil {
		schema["oneOf"] = one
	}
	return schema
}
