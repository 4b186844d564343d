package topology

import "github.com/telluride-stream/telluride/engine/record"

// nested fills the slots that lie inside top-level fields, such as
// `top[0].value`, of records that a stage or source made: those come with
// their top-level fields only, and no payload to read the others from.
type nested struct {
	layout *record.Layout
	fields []nestedField
}

type nestedField struct {
	name  string
	slots []record.Slot
}

func newNested(l *record.Layout) *nested {
	n := &nested{layout: l}
	for _, name := range l.Nested() {
		n.fields = append(n.fields, nestedField{name, l.Within(name)})
	}
	return n
}

func (n *nested) fill(b *record.Batch) {
	for _, f := range n.fields {
		for i := range b.Records {
			record.Refresh(&b.Records[i], n.layout, f.name, f.slots)
		}
	}
}
