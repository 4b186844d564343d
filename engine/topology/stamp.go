package topology

import (
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
)

// stamp makes the watermark of a source, before anything splits its stream,
// and gives each record the watermark at its arrival. It sees the batches in
// their order.
type stamp struct {
	index int
	time  plan.Time
	coord *checkpoint.Coordinator
	row   *telemetry.Row
	marks <-chan checkpoint.Mark
	spot  *spot
	trace *trace.Source

	watermark int64
	last      int64 // Now of the last batch with records; 0 before
}

func (s *stamp) stamp(b *record.Batch) {
	n := len(b.Records)
	s.row.Add(stage.Counts{In: uint64(n + len(b.Side)), Passed: uint64(n), Dead: uint64(len(b.Side))})
	if s.time.Event {
		s.eventTime(b)
	} else {
		s.watermark = b.Now
		for i := range b.Records {
			r := &b.Records[i]
			r.Time, r.Watermark = b.Now, b.Now
		}
	}
	s.spot.batch(b.Records)
	s.trace.Broken(b)
	if b.Barrier.Kind != record.None {
		m := <-s.marks
		m.Watermark, m.Now = s.watermark, b.Now
		s.coord.Mark(b.Barrier.Epoch, s.index, m)
		b.Barrier.Last = s.watermark
	}
	if s.watermark != record.MinTime {
		s.row.Reached(s.watermark)
	}
	// The pump says MaxTime when the source has ended; a restart does not remember that.
	b.Watermark = max(b.Watermark, s.watermark)
	b.Ordered = true
}

func (s *stamp) eventTime(b *record.Batch) {
	late := int64(s.time.OutOfOrder)
	for i := range b.Records {
		r := &b.Records[i]
		if w := r.Time - late; w > s.watermark && w <= r.Time {
			s.watermark = w
		}
		r.Watermark = s.watermark
	}
	switch {
	case len(b.Records) > 0 || s.last == 0:
		s.last = b.Now
	case s.time.Idle > 0 && b.Now-s.last >= int64(s.time.Idle):
		s.watermark = max(s.watermark, b.Now-late)
	}
}
