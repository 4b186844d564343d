package flow

import (
	"github.com/telluride-stream/telluride/engine/conf"
)

// Section describes one part of the flow file's grammar, for reference pages.
type Section struct {
	Name    string // the key, such as route; "flow" for the top level
	Summary string
	// Example is the part as it stands in a flow file, YAML without indentation.
	Example string
	// Doc describes the keys.
	Doc *conf.Doc
}

// Describe lists the parts of the grammar that are the same for every kind:
// the top level, and the keys that every source, stage and sink may have.
func Describe() []Section {
	return []Section{
		{
			Name: "flow", Summary: "A flow file: where records come from, what happens to them, where they go.",
			Example: flowExample, Doc: conf.Describe(new(document).bind),
		},
		{
			Name: "source", Summary: "Keys that every source may have beside its kind.",
			Example: sourceExample, Doc: conf.Describe(new(sourceConfig).bind),
		},
		{
			Name: "stage", Summary: "Keys that every stage and step may have beside its kind.",
			Example: stageExample, Doc: conf.Describe(new(stageConfig).bind),
		},
		{
			Name: "sink", Summary: "Keys that every sink may have beside its kind; dead_letter and late are sinks too.",
			Example: sinkExample, Doc: conf.Describe(new(sinkConfig).bind),
		},
	}
}

// Grammar lists the stages that this package itself provides: they shape the
// flow rather than work on records. Their Doc describes what stands under
// their key.
func Grammar() []Section {
	partition := conf.Describe(new(partitionConfig).bind)
	for _, f := range partition.Fields {
		if f.Name == "lanes" {
			f.Default = "number of CPUs"
		}
	}
	return []Section{
		{Name: "partition", Summary: partitionSummary, Example: partitionExample, Doc: partition},
		{Name: "process", Summary: processSummary, Example: processExample, Doc: &conf.Doc{Whole: &conf.FieldDoc{
			Type: conf.TypeAny, Doc: "A list of steps.",
			Override: map[string]any{"type": "array", "minItems": 1, "items": reference("step")},
		}}},
		{Name: "route", Summary: routeSummary, Example: routeExample, Doc: conf.Describe(new(routeConfig).bind)},
	}
}

// schema is the JSON Schema of what stands under the section's key.
func (s Section) schema() map[string]any {
	schema := s.Doc.Schema()
	schema["description"] = s.Summary
	if properties, ok := schema["properties"].(map[string]any); ok {
		if lanes, ok := properties["lanes"].(map[string]any); ok {
			delete(lanes, "default") // it is the machine's
		}
	}
	return schema
}

const (
	flowExample = `name: hot_sensors
source:
  file: {path: readings.ndjson}
stages:
  - filter: "reading > 90"
sink:
  stdout: {}
`
	sourceExample = `source:
  name: readings
  file: {path: readings.ndjson}
  rate_limit: {records: 5000, per: 1s}
  time: {field: timestamp, out_of_order: 2s, idle: 30s, max_ahead: 1h}
`
	stageExample = `name: per_sensor
on_change: carry
window:
  tumbling: 10s
  aggregate: {readings: "count()"}
`
	sinkExample = `sink:
  name: results
  deadline: 5m
  file: {path: results.ndjson}
`
	partitionExample = `partition: {by: sensor_id, lanes: 4}
`
	processExample = `process:
  - filter: "reading != nil"
  - set: {celsius: "(reading - 32) / 1.8"}
`
	routeExample = `route:
  match: first
  branches:
    - name: hot
      when: "reading > 90"
      sink:
        file: {path: hot.ndjson}
    - name: others
      otherwise: true
`
)
