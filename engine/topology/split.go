package topology

import (
	"time"
	"unsafe"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// splitter sends each record to the lane of its key. It fills the lanes'
// batches again before it sends them, unless that would make records wait for
// others: when nothing more is there to read, what there is goes out.
type splitter struct {
	name  string
	key   *stage.Key
	outs  []chan any
	limit int
	tick  int64
	row   *telemetry.Row // of an explicit partition

	scope   expr.Scope
	values  []record.Value
	scratch []byte
	lanes   []laneBatch
	side    []record.Side // for the first lane
	keep    *record.Batch // memory of side
	counts  stage.Counts

	now, watermark int64
	ordered        bool
}

type laneBatch struct {
	batch *record.Batch
	// now and watermark are what the lane was last told.
	now, watermark int64
}

func newSplitter(p *plan.Partition, lanes, limit int, tick time.Duration, row *telemetry.Row) *splitter {
	s := &splitter{name: p.Name, key: p.Key, limit: limit, tick: int64(tick), row: row, lanes: make([]laneBatch, lanes)}
	for range lanes {
		s.outs = append(s.outs, make(chan any))
	}
	s.values = make([]record.Value, p.Key.Len())
	s.now, s.watermark = record.MinTime, record.MinTime
	return s
}

func (s *splitter) run(in <-chan any) {
	defer func() {
		for _, o := range s.outs {
			close(o)
		}
	}()
	for {
		var el any
		var ok bool
		select {
		case el, ok = <-in:
		default:
			s.flush(false)
			el, ok = <-in
		}
		if !ok {
			return
		}
		b := el.(*record.Batch)
		if b.Barrier.Kind != record.None {
			s.take(b)
			s.barrier(b.Barrier)
		} else {
			empty := len(b.Records) == 0
			s.take(b)
			if empty {
				s.flush(false)
			}
		}
	}
}

// take distributes a batch's records.
func (s *splitter) take(b *record.Batch) {
	s.scope.Now = b.Now
	s.ordered = b.Ordered
	s.side = append(s.side, b.Side...)
	for i := range b.Records {
		r := &b.Records[i]
		if err := s.keyOf(b, r); err != nil {
			s.counts.Dead++
			s.side = append(s.side, record.Side{Record: *r, Kind: record.Dead, Stage: s.name, Reason: "key: " + err.Error()})
			continue
		}
		s.counts.Passed++
		l := int(r.Hash % uint64(len(s.lanes)))
		lane := &s.lanes[l]
		if lane.batch == nil {
			lane.batch = record.NewBatch(s.limit)
			lane.batch.Share(b)
		} else if len(lane.batch.Records) == cap(lane.batch.Records) {
			// A full lane goes out with the time of the batch before: later
			// records of this batch are still on their way.
			s.send(l, record.Barrier{})
			lane.batch = record.NewBatch(s.limit)
			lane.batch.Share(b)
		} else {
			lane.batch.Share(b)
		}
		lane.batch.Records = append(lane.batch.Records, *r)
	}
	if len(s.side) > 0 {
		if s.keep == nil {
			s.keep = &record.Batch{}
		}
		s.keep.Share(b)
	}
	if s.row != nil {
		s.counts.In = s.counts.Passed + s.counts.Dead
		s.row.Add(s.counts)
	}
	s.counts = stage.Counts{}
	s.now, s.watermark = max(s.now, b.Now), max(s.watermark, b.Watermark)
	b.Release()
}

// keyOf sets the record's key. The key's text lives in the batch's memory.
func (s *splitter) keyOf(b *record.Batch, r *record.Record) error {
	s.scope.Record = r
	for i := range s.key.Fields {
		v, err := s.key.Fields[i].Program.Eval(&s.scope)
		if err != nil {
			return err
		}
		s.values[i] = v
	}
	s.scratch = record.AppendKey(s.scratch[:0], s.values...)
	text := b.Arena().Bytes(len(s.scratch))
	copy(text, s.scratch)
	r.Key = unsafe.String(unsafe.SliceData(text), len(text))
	r.Hash = record.Hash(r.Key)
	return nil
}

// flush sends what the lanes hold. Lanes without records hear of the time
// once a tick, or at once when all is set.
func (s *splitter) flush(all bool) {
	for l := range s.lanes {
		lane := &s.lanes[l]
		news := s.now > lane.now || s.watermark > lane.watermark
		due := s.watermark == record.MaxTime || s.now-lane.now >= s.tick/2
		if lane.batch != nil || news && (all || due) || l == 0 && len(s.side) > 0 {
			s.send(l, record.Barrier{})
		}
	}
}

func (s *splitter) barrier(b record.Barrier) {
	for l := range s.lanes {
		s.send(l, b)
	}
}

func (s *splitter) send(l int, barrier record.Barrier) {
	lane := &s.lanes[l]
	b := lane.batch
	if b == nil {
		b = &record.Batch{}
	}
	lane.batch = nil
	b.Now, b.Watermark, b.Ordered, b.Barrier = s.now, s.watermark, s.ordered, barrier
	lane.now, lane.watermark = s.now, s.watermark
	if l == 0 && len(s.side) > 0 {
		b.Side = s.side
		if s.keep != nil {
			b.Share(s.keep)
			s.keep.Release()
		}
		s.side, s.keep = nil, nil
	}
	s.outs[l] <- b
}

// router sends each record into the first branch whose condition holds, or
// into all of them. Behind the last branch's channel is none for what matches
// nothing: that is counted as filtered.
type router struct {
	plan   *plan.Route
	outs   []chan any
	row    *telemetry.Row
	scope  expr.Scope
	counts stage.Counts
	match  []int
}

func newRouter(p *plan.Route, row *telemetry.Row) *router {
	r := &router{plan: p, row: row}
	for range p.Branches {
		r.outs = append(r.outs, make(chan any))
	}
	return r
}

func (r *router) run(in <-chan any) {
	defer func() {
		for _, o := range r.outs {
			close(o)
		}
	}()
	for el := range in {
		b := el.(*record.Batch)
		parts := r.split(b)
		for i, o := range r.outs {
			o <- parts[i]
		}
	}
}

// split makes one batch for each branch, all with the time and barrier of b.
func (r *router) split(b *record.Batch) []*record.Batch {
	parts := make([]*record.Batch, len(r.outs))
	for i := range parts {
		parts[i] = &record.Batch{Now: b.Now, Watermark: b.Watermark, Ordered: b.Ordered, Barrier: b.Barrier}
	}
	r.scope.Now = b.Now
	first := parts[0]
	first.Side = b.Side
	for i := range b.Records {
		rec := &b.Records[i]
		r.counts.In++
		if err := r.choose(rec); err != nil {
			r.counts.Dead++
			first.Side = append(first.Side, record.Side{Record: *rec, Kind: record.Dead, Stage: r.plan.Name, Reason: err.Error()})
			continue
		}
		if len(r.match) == 0 {
			r.counts.Filtered++
			continue
		}
		r.counts.Passed++
		for n, m := range r.match {
			out := *rec
			if n > 0 {
				// Branches change their records in place: each has its own.
				out = rec.Clone()
				r.counts.Emitted++
			}
			parts[m].Records = append(parts[m].Records, out)
		}
	}
	for _, p := range parts {
		if len(p.Records) > 0 || len(p.Side) > 0 {
			p.Share(b)
		}
	}
	r.row.Add(r.counts)
	r.counts = stage.Counts{}
	b.Release()
	return parts
}

// choose sets match to the branches that take the record.
func (r *router) choose(rec *record.Record) error {
	r.match = r.match[:0]
	r.scope.Record = rec
	for i := range r.plan.Branches {
		when := r.plan.Branches[i].When
		if when == nil {
			if len(r.match) == 0 {
				r.match = append(r.match, i)
			}
			return nil
		}
		yes, err := when.Bool(&r.scope)
		if err != nil {
			return err
		}
		if yes {
			r.match = append(r.match, i)
			if !r.plan.All {
				return nil
			}
		}
	}
	return nil
}
