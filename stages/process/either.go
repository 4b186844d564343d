package process

import (
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
	if f.Given(name) && !f.Mapping(name) {
		short()
		return
	}
	f.Object(name, doc, long).Required()
}
