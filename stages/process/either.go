package process

import (
	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
)

// either declares a key that is a mapping, or in short only its most
// important value.
func either(f *conf.Fields, name, doc string, short func() *conf.Value, long func(*conf.Fields)) {
	if f.Describing() {
		one := map[string]any{"type": []any{"string", "array"}}
		f.Object(name, doc, long).Required().Schema(map[string]any{
			"description": doc,
			"anyOf":       []any{one, conf.Describe(long).Schema()},
		})
		return
	}
	var n *yaml.Node
	if f.Node(&n, name, doc); n != nil && n.Kind != yaml.MappingNode {
		short()
		return
	}
	f.Object(name, doc, long).Required()
}
