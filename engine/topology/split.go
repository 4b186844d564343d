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
	meter *meter
	spot  *spot

	scope   expr.Scope
	values  []record.Value
	scratch []byte
	lanes   []laneBatch
	side    []record.Side // for the first lane
	keep    record.Batch  // keeps the memory of side
	counts  stage.Counts

	now, watermark int64
	ordered        bool
}

type laneBatch struct {
	batch *record.Batch
	// from is the batch whose memory was shared last.
	from *record.Batch
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
	s.meter.begin(s.name)
	defer s.meter.end()
	for {
		var el any
		var ok bool
		select {
		case el, ok = <-in:
		default:
			s.flush()
			el, ok = s.meter.recv(in)
		}
		if !ok {
			return
		}
		b := el.(*record.Batch)
		n, barrier := len(b.Records), b.Barrier
		s.take(b)
		if n > 0 {
			s.meter.called(n)
		}
		switch {
		case barrier.Kind != record.None:
			s.barrier(barrier)
		case n == 0:
			s.flush()
		}
	}
}

// take distributes a batch's records.
func (s *splitter) take(b *record.Batch) {
	s.scope.Now = b.Now
	if s.now == record.MinTime {
		s.now = b.Now
	}
	s.ordered = b.Ordered
	kept := 0
	for i := 0; i < len(b.Records); {
		i, kept = s.keys(b, i, kept)
	}
	b.Records = b.Records[:kept]
	s.spot.batch(b.Records)
	// A full lane may take the side records along at once, so their memory is
	// kept from here on.
	if len(b.Side) > 0 {
		s.side = append(s.side, b.Side...)
		s.keep.Share(b)
	}
	for i := range b.Records {
		r := &b.Records[i]
		l := int(r.Hash % uint64(len(s.lanes)))
		lane := &s.lanes[l]
		if lane.batch != nil && len(lane.batch.Records) >= s.limit {
			// A full lane goes out with the time of the batch before: later
			// records of this batch are still on their way.
			s.send(l, record.Barrier{})
		}
		if lane.batch == nil {
			lane.batch = record.NewBatch(s.limit)
		}
		if lane.from != b {
			lane.batch.Share(b)
			lane.batch.Spans = record.JoinSpans(lane.batch.Spans, b.Spans)
			lane.from = b
		}
		lane.batch.Records = append(lane.batch.Records, *r)
	}
	if s.row != nil {
		s.counts.In = s.counts.Passed + s.counts.Dead
		s.row.Add(s.counts)
	}
	s.counts = stage.Counts{}
	s.now, s.watermark = max(s.now, b.Now), max(s.watermark, b.Watermark)
	b.Release()
}

// keys gives records from i on their keys; those that have none become dead
// letters. See stage.Driver for how it treats a panic.
func (s *splitter) keys(b *record.Batch, i, kept int) (next, nowKept int) {
	dead := func(reason string) {
		s.counts.Dead++
		b.Side = append(b.Side, record.Side{Record: b.Records[i], Kind: record.Dead, Stage: s.name, Reason: "key: " + reason})
	}
	defer func() {
		if p := recover(); p != nil {
			dead(stage.Panicked(p))
			next, nowKept = i+1, kept
		}
	}()
	for ; i < len(b.Records); i++ {
		if err := s.keyOf(b, &b.Records[i]); err != nil {
			dead(err.Error())
			continue
		}
		s.counts.Passed++
		if kept != i {
			b.Records[kept] = b.Records[i]
		}
		kept++
	}
	return i, kept
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
// once a tick.
func (s *splitter) flush() {
	for l := range s.lanes {
		lane := &s.lanes[l]
		news := s.now > lane.now || s.watermark > lane.watermark
		due := s.watermark == record.MaxTime || s.now-lane.now >= s.tick/2
		if lane.batch != nil || news && due || l == 0 && len(s.side) > 0 {
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
	lane.batch, lane.from = nil, nil
	b.Now, b.Watermark, b.Ordered, b.Barrier = s.now, s.watermark, s.ordered, barrier
	lane.now, lane.watermark = s.now, s.watermark
	if l == 0 && len(s.side) > 0 {
		b.Side = s.side
		b.Share(&s.keep)
		s.keep.Release()
		s.side = nil
	}
	s.meter.send(s.outs[l], b)
}

// router sends each record into the first branch whose condition holds, or
// into all of them. Behind the last branch's channel is none for what matches
// nothing: that is counted as filtered.
type router struct {
	plan   *plan.Route
	outs   []chan any
	row    *telemetry.Row
	meter  *meter
	spot   *spot
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
	r.meter.begin(r.plan.Name)
	defer r.meter.end()
	for {
		el, ok := r.meter.recv(in)
		if !ok {
			return
		}
		b := el.(*record.Batch)
		n := len(b.Records)
		parts := r.split(b)
		if n > 0 {
			r.meter.called(n)
		}
		for i, o := range r.outs {
			r.meter.send(o, parts[i])
		}
	}
}

// split makes one batch for each branch, all with the time and barrier of b.
func (r *router) split(b *record.Batch) []*record.Batch {
	parts := make([]*record.Batch, len(r.outs))
	for i := range parts {
		parts[i] = &record.Batch{Now: b.Now, Watermark: b.Watermark, Ordered: b.Ordered, Barrier: b.Barrier, Spans: b.Spans}
	}
	r.scope.Now = b.Now
	parts[0].Side = b.Side
	for i := 0; i < len(b.Records); {
		i = r.records(b, i, parts)
	}
	for _, p := range parts {
		r.spot.batch(p.Records)
		if len(p.Records) > 0 || len(p.Side) > 0 {
			p.Share(b)
		}
	}
	r.row.Add(r.counts)
	r.counts = stage.Counts{}
	b.Release()
	return parts
}

// records sends records from i on into their parts. See stage.Driver for how
// it treats a panic, which only an expression can cause.
func (r *router) records(b *record.Batch, i int, parts []*record.Batch) (next int) {
	dead := func(reason string) {
		r.counts.Dead++
		parts[0].Side = append(parts[0].Side, record.Side{Record: b.Records[i], Kind: record.Dead, Stage: r.plan.Name, Reason: reason})
	}
	defer func() {
		if p := recover(); p != nil {
			dead(stage.Panicked(p))
			next = i + 1
		}
	}()
	for ; i < len(b.Records); i++ {
		rec := &b.Records[i]
		r.counts.In++
		if err := r.choose(rec); err != nil {
			dead(err.Error())
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
	return i
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
