package topology

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
)

// pump puts a source's batches into the stream at the pace that the flow
// allows, and between them ticks and barriers. It never waits for the source:
// time and epochs go on while the source is idle, limited or at its end.
type pump struct {
	index  int
	intake *Intake
	coord  *checkpoint.Coordinator
	clock  clock.Clock
	tick   time.Duration
	limit  *rate.Limiter // nil: none
	trace  *trace.Source
	row    *telemetry.Row

	barriers chan record.Barrier
	marks    chan checkpoint.Mark // for the stamp, in the order of the barriers
	resume   chan uint64          // the drain barrier behind which to go on
	out      chan any
	stop     <-chan struct{}

	mark     checkpoint.Mark // behind what was sent last
	now      int64
	pending  stage.Input             // read, and waiting for the limit
	remember bool                    // what becomes of deliveries with an id
	ids      []checkpoint.DeliveryID // since the last barrier
	finished bool
	quiet    bool   // the source was stopped; its input has not ended
	resumed  uint64 // the last drain barrier that is called off or over
	isolation
}

func newPump(index int, src *plan.Source, in *Intake, from checkpoint.Position, g *Graph) *pump {
	p := &pump{
		index: index, intake: in, trace: g.reading[index], coord: g.coord, clock: clock.For(g.config.Clock, "source "+src.Name), tick: g.plan.Tick,
		row:      g.config.Ledger.Row("source", src.Name),
		barriers: make(chan record.Barrier, checkpoint.MaxTravelling), marks: make(chan checkpoint.Mark, checkpoint.MaxTravelling),
		resume: make(chan uint64, 1), out: make(chan any), stop: g.stop,
		now: g.now, remember: g.plan.Stateful,
	}
	p.isolation = newIsolation(g.config.Guard, p.clock)
	p.mark.Position, p.mark.Seq = from.Bytes, in.sent
	p.pending = in.take()
	if src.Rate > 0 {
		perSecond := rate.Limit(float64(src.Rate) / src.Per.Seconds())
		p.limit = rate.NewLimiter(perSecond, max(MaxBatch(g.plan, src), 1))
	}
	return p
}

// MaxBatch is how many records a source shall return at a time: as many as a
// batch has, but no more than a tenth of a second's worth of its rate.
func MaxBatch(p *plan.Plan, src *plan.Source) int {
	n := p.Batch
	if src.Rate > 0 {
		tenth := float64(src.Rate) / src.Per.Seconds() / 10
		n = min(n, max(1, int(tenth)))
	}
	return n
}

// run pumps until the end barrier has been sent or the graph stops.
func (p *pump) run() {
	defer close(p.out)
	defer func() { p.intake.leave(p.pending, p.mark.Seq) }()
	tick := p.clock.NewTimer(p.tick)
	defer tick.Stop()
	wait := p.clock.NewTimer(time.Hour)
	defer wait.Stop()
	var ready <-chan time.Time
	if p.pending.Batch != nil {
		wait.Reset(p.delay())
		ready = wait.C()
	}
	for {
		var inputs <-chan stage.Input
		room := p.coord.Room()
		if p.pending.Batch == nil && !p.finished && !p.quiet && p.alone == 0 && room == nil {
			inputs = p.intake.inputs
		}
		select {
		case <-p.stop:
			return
		case b := <-p.barriers:
			if !p.barrier(b) {
				return
			}
		case <-room:
		case in, ok := <-inputs:
			if !ok {
				if !p.end() {
					return
				}
				continue
			}
			p.pending = in
			delay := p.delay()
			if delay > 0 {
				wait.Reset(delay)
				ready = wait.C()
				continue
			}
			if ready, ok = p.proceed(wait); !ok {
				return
			}
		case <-ready:
			var ok bool
			if ready, ok = p.proceed(wait); !ok {
				return
			}
		case p.turn <- struct{}{}:
			if !p.sendPending() {
				return
			}
		case <-p.committed:
			if !p.landed() {
				return
			}
		case <-p.impatience:
			if !p.impatient() {
				return
			}
		case <-tick.C():
			tick.Reset(p.tick)
			if !p.send(&record.Batch{Watermark: p.watermark()}) {
				return
			}
		}
	}
}

// delay is how long the rate limit has the pending batch wait.
func (p *pump) delay() (d time.Duration) {
	if p.limit == nil {
		return 0
	}
	now := p.clock.Now()
	for n := len(p.pending.Batch.Records); n > 0; n -= p.limit.Burst() {
		d = p.limit.ReserveN(now, min(n, p.limit.Burst())).DelayFrom(now)
	}
	return d
}

func (p *pump) sendPending() bool {
	in := p.pending
	p.pending = stage.Input{}
	b := in.Batch
	seq, bytes := p.mark.Seq, 0
	for i := range b.Records {
		r := &b.Records[i]
		r.Origin.Source, seq = p.index, max(seq, r.Origin.Seq)
		bytes += len(r.Payload)
	}
	for i := range b.Side {
		o := &b.Side[i].Record.Origin
		o.Source, seq = p.index, max(seq, o.Seq)
	}
	if p.remember && in.IDs != nil && !p.holds(p.recognise(&in)) {
		return false
	}
	if (p.turn != nil || p.guard.Wary()) && !p.holds(p.isolate(&in, seq)) {
		return false
	}
	p.mark.Seq, p.mark.Position = seq, in.Position
	p.row.Bytes.Add(int64(bytes))
	p.row.Seen.Store(in.Seen)
	p.row.Size.Store(in.Size)
	b.Watermark = record.MinTime
	p.trace.Read(b, seq)
	// Told before it is sent, so that it cannot be settled before it counts.
	p.coord.Sent(p.index, seq)
	if !p.send(b) {
		return false
	}
	if p.alone > 0 {
		p.coord.Hurry()
	}
	return true
}

// holds fails the graph with an error, if there is one.
func (p *pump) holds(err error) bool {
	if err != nil {
		p.coord.Fail(err)
		<-p.stop
	}
	return err == nil
}

// recognise takes those deliveries out of an input that were committed before:
// the broker delivers again what was not acknowledged when a session ended,
// and the state has it already. They are settled with their epoch, with the
// verdict that they got. All others with an id are noted for a verdict.
func (p *pump) recognise(in *stage.Input) error {
	b := in.Batch
	kept := 0
	for i := range b.Records {
		r := &b.Records[i]
		if id := in.IDs[i]; id != "" {
			if in.Redelivered != nil && in.Redelivered[i] {
				v, known, err := p.coord.Verdict(p.index, id)
				if err != nil {
					return fmt.Errorf("look up the verdict on %s: %w", id, err)
				}
				if known {
					if v.Rejected {
						p.coord.Reject(p.index, r.Origin.Seq)
					}
					p.row.Add(stage.Counts{In: 1, Filtered: 1})
					continue
				}
			}
			p.ids = append(p.ids, checkpoint.DeliveryID{Seq: r.Origin.Seq, ID: id})
		}
		if kept != i {
			b.Records[kept], in.IDs[kept] = *r, in.IDs[i]
		}
		kept++
	}
	b.Records, in.IDs = b.Records[:kept], in.IDs[:kept]
	return nil
}

// send stamps the time of reading and sends. false: the graph stops.
func (p *pump) send(b *record.Batch) bool {
	p.now = max(p.now, p.clock.Now().UnixNano())
	b.Now = p.now
	for {
		select {
		case p.out <- b:
			return true
		case <-p.impatience: // time is sent meanwhile, and does not get through either
			if !p.impatient() {
				return false
			}
		case <-p.stop:
			return false
		}
	}
}

// barrier sends a barrier. Behind a drain nothing follows until told.
func (p *pump) barrier(b record.Barrier) bool {
	m := p.mark
	m.IDs, p.ids = p.ids, nil
	p.marks <- m
	wm := p.watermark()
	if b.Kind == record.End {
		wm = record.MaxTime
	}
	if !p.send(&record.Batch{Watermark: wm, Barrier: b}) || b.Kind == record.End {
		return false
	}
	for b.Kind == record.Drain && p.resumed < b.Epoch {
		select {
		case p.resumed = <-p.resume:
		case next := <-p.barriers: // behind a drain only another drain comes, or the end
			if !p.barrier(next) {
				return false
			}
		case <-p.committed:
			if !p.landed() {
				return false
			}
		case <-p.impatience:
			if !p.impatient() {
				return false
			}
		case <-p.stop:
			return false
		}
	}
	return true
}

// goOn has the pump go on behind a drain barrier, also one that it has not
// seen yet. It does not block; calls do not overlap.
func (p *pump) goOn(epoch uint64) {
	select {
	case <-p.resume:
	default:
	}
	p.resume <- epoch
}

// end notes the end of the source's input, or fails the graph with its error.
func (p *pump) end() bool {
	p.intake.sentAll()
	if p.intake.stopped {
		p.quiet = true
		return true
	}
	p.finished = true
	if !p.holds(p.intake.err) {
		return false
	}
	p.coord.Finished()
	// Nobody has to wait for the time of a source that has ended.
	return p.send(&record.Batch{Watermark: p.watermark()})
}

func (p *pump) watermark() int64 {
	if p.finished {
		return record.MaxTime
	}
	return record.MinTime
}
