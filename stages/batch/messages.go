package batch

import (
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

var (
	_ stage.Timed  = (*messages)(nil)
	_ stage.Holder = (*messages)(nil)
)

// messages makes one message of the records of a group. It holds their JSON
// rather than the records.
type messages struct {
	config *config
	groups groups
	array  bool
	text   []byte // of the record at hand
	room   int    // for the text of the next group: what the last ones took
}

func newMessages(c *config, keyed bool) *messages {
	return &messages{config: c, groups: groups{keyed: keyed}, array: c.format == jsonArray}
}

func (o *messages) Process(c *stage.Context, r *record.Record) stage.Verdict {
	// What the record adds to a message: a line, or an object and the comma or
	// the bracket in front of it. The bracket behind the last one comes on top.
	end := 0
	if o.array {
		o.text = record.AppendJSON(append(o.text[:0], ','), r)
		end = 1
	} else {
		o.text = record.AppendLine(o.text[:0], r)
	}
	g := o.groups.find(r.Key)
	if g != nil && o.config.bytes > 0 && int64(len(g.text)+len(o.text)+end) > o.config.bytes {
		o.send(c, g)
		g = nil
	}
	if g == nil {
		g = o.groups.open(c, r)
		g.text = make([]byte, 0, max(o.room, len(o.text)+end))
		if o.array {
			o.text[0] = '['
		}
	}
	o.groups.add(g, r)
	g.text = append(g.text, o.text...)
	g.time, g.hash = max(g.time, r.Time), r.Hash
	if g.n >= o.config.size {
		o.send(c, g)
	}
	return stage.Hold
}

// Advance sends what has waited long enough.
func (o *messages) Advance(c *stage.Context) {
	for g := o.groups.oldest; g != nil && c.Now-g.first >= int64(o.config.timeout); g = o.groups.oldest {
		o.send(c, g)
	}
}

// send makes the message of a group. It comes from the newest of the group's
// deliveries, and is as old as the newest of its records.
func (o *messages) send(c *stage.Context, g *group) {
	if o.array {
		g.text = append(g.text, ']')
	}
	o.room = max(len(g.text), o.room-o.room/8)
	c.Consume(g.n)
	m := record.Record{
		// No Origin: it stands for many deliveries, of which none may be
		// rejected for all.
		Payload: g.text, Meta: count(g.n), Time: g.time, Watermark: g.low,
	}
	if o.groups.keyed {
		m.Key, m.Hash = g.key, g.hash
	}
	c.Emit(m)
	o.groups.close(g)
}

func (o *messages) Held() stage.Held { return o.groups.heldNow() }

// Flush sends everything, the longest open group first.
func (o *messages) Flush(c *stage.Context) {
	for o.groups.oldest != nil {
		o.send(c, o.groups.oldest)
	}
}

// count is the Meta of a message: meta.count is the number of its records.
type count int

func (n count) Lookup(path record.Path, _ uint64) record.Value {
	if len(path) == 1 && path[0].Key == "count" {
		return record.IntValue(int64(n))
	}
	return record.Value{}
}
