package batch

import (
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

var (
	_ stage.Timed  = (*records)(nil)
	_ stage.Holder = (*records)(nil)
)

// records holds records and passes them on group by group.
type records struct {
	config  *config
	groups  groups
	fresh   []*group // groups that got records of the batch at hand
	scratch []byte
}

// keep says whose memory records of a group lie in: those before upto that
// no keep before it covers.
type keep struct {
	batch *record.Batch // nil: they were cloned
	upto  int
}

func newRecords(c *config, keyed bool) *records {
	return &records{config: c, groups: groups{keyed: keyed}}
}

func (o *records) Process(c *stage.Context, r *record.Record) stage.Verdict {
	size := o.size(r)
	g := o.groups.find(r.Key)
	if g != nil && o.config.bytes > 0 && g.size+size > o.config.bytes {
		o.release(c, g)
		g = nil
	}
	if g == nil {
		g = o.groups.open(c, r)
	}
	o.groups.add(g, r)
	g.size += size
	g.records = append(g.records, *r)
	if !g.listed {
		g.listed = true
		o.fresh = append(o.fresh, g)
	}
	if g.n >= o.config.size {
		o.release(c, g)
	}
	return stage.Hold
}

// size is the length of the record's JSON, if there is a bound to it.
func (o *records) size(r *record.Record) int64 {
	switch {
	case o.config.bytes == 0:
		return 0
	case r.Shape == nil && r.Payload != nil:
		return int64(len(r.Payload))
	}
	o.scratch = record.AppendJSON(o.scratch[:0], r)
	return int64(len(o.scratch))
}

// Advance lets go what has waited long enough, and makes the rest last beyond
// the batch that brought it.
func (o *records) Advance(c *stage.Context) {
	for g := o.groups.oldest; g != nil && c.Now-g.first >= int64(o.config.timeout); g = o.groups.oldest {
		o.release(c, g)
	}
	for i, g := range o.fresh {
		g.listed, o.fresh[i] = false, nil
		if g.n > 0 {
			o.own(c, g)
		}
	}
	o.fresh = o.fresh[:0]
}

// many is from how many records on their batch is kept rather than that they
// are copied. Keeping a batch costs its whole memory, which is some
// 160 KiB also when it is nearly empty; a copy costs time.
const many = 128

// own makes the newest records of a group last. With keys they are copied in
// any case: a few records of a slow key would keep whole batches.
func (o *records) own(c *stage.Context, g *group) {
	from := 0
	if len(g.keeps) > 0 {
		from = g.keeps[len(g.keeps)-1].upto
	}
	fresh := g.records[from:]
	k := keep{upto: len(g.records)}
	if len(fresh) >= many && !o.groups.keyed {
		k.batch = c.Keep()
	} else {
		for i := range fresh {
			fresh[i] = fresh[i].Clone()
		}
	}
	if last := len(g.keeps) - 1; last >= 0 && k.batch == nil && g.keeps[last].batch == nil {
		g.keeps[last].upto = k.upto
		return
	}
	g.keeps = append(g.keeps, k)
}

// release passes a group on, as a batch of its own: nothing else leaves the
// operator, and behind every group it begins another batch.
func (o *records) release(c *stage.Context, g *group) {
	i := 0
	for _, k := range g.keeps {
		for ; i < k.upto; i++ {
			c.Release(g.records[i], k.batch)
		}
		if k.batch != nil {
			k.batch.Release()
		}
	}
	for ; i < len(g.records); i++ {
		c.Release(g.records[i], nil)
	}
	c.Cut()
	o.groups.close(g)
}

func (o *records) Held() stage.Held { return o.groups.heldNow() }

// Flush lets everything go, the longest open group first.
func (o *records) Flush(c *stage.Context) {
	for o.groups.oldest != nil {
		o.release(c, o.groups.oldest)
	}
}
