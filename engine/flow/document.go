package flow

import (
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
)

// document is the top level of a flow file.
type document struct {
	name, description conf.Text
	from              conf.Text
	params            *yaml.Node
	source, sources   *yaml.Node
	stages            *yaml.Node
	sink, sinks       *yaml.Node
	dead, late        *yaml.Node
	configQueue       *yaml.Node
	tests             *yaml.Node // which package flowtest reads
	telemetry         telemetryConfig
	mask              []string
	durability        string
	poison            int
	checkpoint        time.Duration
}

func (d *document) bind(f *conf.Fields) {
	f.Text(&d.name, "name", "", "The flow's name: lower-case letters, digits, _ and -. State is kept under it. Default: the name of the file without .yaml.")
	f.Text(&d.description, "description", "", "What the flow is for, in a sentence or two.")
	f.Text(&d.from, "state_from", "", "What the flow was called before. When it starts and nothing is kept under its name, it takes over what is kept under that one: state, positions and params. It may stay in the file.").NotEmpty()
	describeParams(f, &d.params)
	part(f, &d.source, "source", "Where records come from: exactly one kind of source, and the keys below.", "source", new(sourceConfig).bind)
	parts(f, &d.sources, "sources", "Several sources, instead of source.", "source", new(sourceConfig).bind)
	parts(f, &d.stages, "stages", "What happens to the records, in order. Each entry is exactly one kind of stage or step. Without stages, records go from the source to the sink as they are.", "stage", new(stageConfig).bind)
	part(f, &d.sink, "sink", "Where records go: exactly one kind of sink, and the keys below. A flow whose records all end in branches with sinks needs none.", "sink", new(sinkConfig).bind)
	parts(f, &d.sinks, "sinks", "Several sinks, instead of sink: each gets every record.", "sink", new(sinkConfig).bind)
	part(f, &d.dead, "dead_letter", "A sink for the records that cannot be processed, each with the reason. Default: a source that can reject deliveries, such as a queue with a dead-letter exchange, does so.", "sink", new(sinkConfig).bind)
	part(f, &d.late, "late", "A sink for the records that come too late for their window. Default: they are dead letters.", "sink", new(sinkConfig).bind)
	f.Strings(&d.mask, "mask", nil, "Fields whose values are hidden (\"***\") wherever records of the flow can be looked at: telluride tap, and the dashboard. Sinks get them as they are. A field that a stage renames or copies is to be listed under its new name too.")
	f.Enum(&d.durability, "durability", "disk", []string{"disk", "memory"}, "Where the flow's state is kept: disk outlives a crash; memory does not, and what was in it is then lost.")
	f.Object("poison", "What to do about a record that ends the process, each time that it is delivered.", func(f *conf.Fields) {
		f.Int(&d.poison, "attempts", 3, "At how many ends of the process a record was alone in flight that becomes a dead letter. 0: it never does, and nothing is noted of what is in flight.").Min(0).Max(100)
		f.Check(func() (message, advice string) {
			if d.poison == 1 {
				return "one end of the process proves nothing: it may have been killed from outside", "write 2 or more, or 0 for never"
			}
			return "", ""
		})
	})
	f.Object("checkpoint", "How often the flow makes its progress durable.", func(f *conf.Fields) {
		f.Duration(&d.checkpoint, "interval", time.Second, "The longest time between two checkpoints of a flow with state. Shorter means less to repeat after a crash, longer means less to write.").Min(10 * time.Millisecond)
	})
	f.Object("control", "Where changes of the flow come from while it runs, beside its file and the API.", func(f *conf.Fields) {
		part(f, &d.configQueue, "config_queue", "A queue of messages that change the flow: exactly one kind of feed. A message is a JSON object of params, or a whole flow file; it is acknowledged once the change has been applied.", "feed", func(*conf.Fields) {})
	})
	f.Node(&d.tests, "tests", "Tests of the flow, for telluride test; most flows have them in a file of their own, NAME_test.yaml.").Schema(map[string]any{"type": "array"})
	f.Object("telemetry", "What the flow publishes of itself, while it runs. Publishing is no part of the flow: it never holds it up, and what a sink cannot take is dropped.", d.telemetry.bind)
	if f.Describing() {
		f.OneOf("source", "sources")
	} else {
		f.AtMostOne("source", "sources") // that one is missing is said with an example
	}
	f.AtMostOne("sink", "sinks")
}

// part declares one entry with a kind; entries of this grammar are decoded by
// this package. Its keys are described from bind, its schema is that of what.
func part(f *conf.Fields, p **yaml.Node, name, doc, what string, bind func(*conf.Fields)) {
	if f.Describing() {
		f.Object(name, doc, bind).Schema(reference(what))
		return
	}
	f.Node(p, name, doc)
}

// parts declares a list of such entries.
func parts(f *conf.Fields, p **yaml.Node, name, doc, what string, bind func(*conf.Fields)) {
	if f.Describing() {
		var items []struct{}
		conf.Objects(f, name, doc, &items, func(_ *struct{}, f *conf.Fields) { bind(f) }).Schema(map[string]any{
			"type": "array", "minItems": 1, "items": reference(what),
		})
		return
	}
	f.Node(p, name, doc)
}

// list is the entries of a list; anything else, and an empty list, is
// reported. A single mapping is taken as a list of one, so that what is wrong
// inside it is reported too.
func (c *compiler) list(n *yaml.Node, name, example string) []*yaml.Node {
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		return n.Content
	case n.Kind == yaml.SequenceNode || isEmpty(n):
		c.fail(c.scope.Span(n), name+" is empty", "give it an entry, such as "+example+", or remove it")
		return nil
	case n.Kind == yaml.MappingNode:
		c.fail(c.scope.Span(n), name+": expected a list, got a mapping", `start each entry with "- "`)
		return []*yaml.Node{n}
	}
	c.fail(c.scope.Span(n), name+": expected a list, got "+quoted(n.Value), "write entries such as "+example)
	return nil
}

func isEmpty(n *yaml.Node) bool {
	return n == nil || n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// child is the value of a key of a mapping, nil when there is none.
func child(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}
