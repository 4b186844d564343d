package rabbitmq

import (
	"fmt"
	"math"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
)

// arguments declares a mapping of which the values keep their types: what
// YAML reads as a whole number is one to the broker.
func bindArguments(f *conf.Fields, p *amqp.Table, name, doc string) {
	var n *yaml.Node
	*p = nil
	f.Node(&n, name, doc).Schema(map[string]any{"type": []any{"object", "null"}})
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	r := argumentReader{f: f, name: name}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "is not a mapping of names to values", "such as {x-max-priority: 10}")
		return
	}
	*p = r.table(n)
}

type argumentReader struct {
	f    *conf.Fields
	name string
}

func (r argumentReader) fail(n *yaml.Node, message, advice string) {
	r.f.Fail(r.f.Scope().Span(n), r.name+": "+message, advice)
}

func (r argumentReader) table(n *yaml.Node) amqp.Table {
	t := amqp.Table{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if len(key) == 0 || len(key) > maxShort {
			r.fail(n.Content[i], fmt.Sprintf("a name has %d bytes", len(key)), "use 1 to 255")
		}
		t[key] = r.value(n.Content[i+1])
	}
	return t
}

func (r argumentReader) value(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		return r.table(n)
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, r.value(item))
		}
		return list
	}
	text, ok := r.f.Scope().Expand(n.Value, r.f.Scope().Span(n), r.name)
	if !ok {
		return nil
	}
	scalar := *n
	if text.Refs {
		// What a reference stands for takes its type from how it reads.
		scalar = yaml.Node{Kind: yaml.ScalarNode, Value: text.Value}
	}
	switch scalar.ShortTag() {
	case "!!bool":
		var b bool
		_ = scalar.Decode(&b) // the tag says that it is one
		return b
	case "!!int":
		var i int64
		if err := scalar.Decode(&i); err != nil {
			r.fail(n, "the number does not fit 64 bits", "use a smaller one")
		}
		return i
	case "!!float":
		if strings.Trim(scalar.Value, "+-0123456789") == "" {
			r.fail(n, "the number does not fit 64 bits", "use a smaller one")
		}
		var x float64
		if err := scalar.Decode(&x); err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			r.fail(n, "the number is not finite", "use another one")
		}
		return x
	case "!!null":
		return nil
	}
	return text.Value
}

// maxShort is the length in bytes of the longest short string of AMQP: names,
// routing keys and most properties.
const maxShort = 255
