package window

import (
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

var _ stage.Viewer = (*running)(nil)

// View shows the aggregates of every key as they are now.
func (o *running) View(show func(key string, values func() []byte)) {
	o.keys.all(func(e *entry[runningState]) {
		show(e.key, func() []byte { return o.document(e, e.state.cells) })
	})
}

// document is what the stage would emit for a key now, as JSON.
func (b *base[S]) document(e *entry[S], cells []cell) []byte {
	out := b.results
	fields := make([]record.Value, b.width)
	at := copyTo(fields, out.slots, b.keyOf(e.key))
	for i := range b.set.outputs {
		fields[out.slots[at+i]] = b.set.value(&b.set.outputs[i], cells)
	}
	r := record.Record{Fields: fields, Shape: out.shape}
	return record.AppendJSON(nil, &r)
}
