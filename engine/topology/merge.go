package topology

import (
	"math"
	"sync"

	"github.com/telluride-stream/telluride/engine/record"
)

// merge brings several streams together. A stream that has delivered barrier
// k waits until all have; then one barrier k goes on, whose Held is the
// lowest, and Last the highest. The watermark that goes on is the lowest of all
// streams. The processing time is the latest: one that is slow holds up no timer
// of others. A steady merge takes the earliest, so that a timer behind it always
// finds what timers of the same moment in front of it have let out.
//
// Records of one stream keep their order; between streams there is none.
//
// Behind its end barrier every stream closes. One that closes before is cut
// off, since the graph is stopping: from then on nobody waits, no barrier goes
// on (its epoch would seem complete without the records of that stream), and
// the watermark stays where that stream left it.
type merge struct {
	out    chan any
	steady bool

	// lock is a mutex made of a channel: it is held while a batch is sent, and
	// waiting for it must count as waiting for a scripted clock.
	lock    chan struct{}
	aligned chan struct{} // closed when the barrier has gone on
	inputs  []mergeInput
	live    int // inputs that have not closed
	waiting int // inputs that have delivered the barrier
	barrier record.Barrier
	now     int64 // the processing time sent last
	sent    int64 // the watermark sent last
}

type mergeInput struct {
	now, watermark int64
}

// merged merges streams. One stream is returned as it is.
func merged(wg *sync.WaitGroup, ins []<-chan any, steady bool) <-chan any {
	if len(ins) == 1 {
		return ins[0]
	}
	m := &merge{
		out: make(chan any), steady: steady, lock: make(chan struct{}, 1), aligned: make(chan struct{}),
		inputs: make([]mergeInput, len(ins)), live: len(ins), now: record.MinTime, sent: record.MinTime,
	}
	for i := range m.inputs {
		m.inputs[i] = mergeInput{now: record.MinTime, watermark: record.MinTime}
	}
	for i, in := range ins {
		wg.Go(func() { m.read(i, in) })
	}
	return m.out
}

func (m *merge) read(i int, in <-chan any) {
	for el := range in {
		if aligned := m.pass(i, el.(*record.Batch)); aligned != nil {
			<-aligned
		}
	}
	m.lock <- struct{}{}
	defer func() { <-m.lock }()
	m.live--
	m.inputs[i].now = record.MaxTime
	if m.waiting > 0 {
		m.proceed()
	}
	if m.live == 0 {
		close(m.out)
	}
}

// pass sends a batch on. The lock is held while it is sent: a watermark that
// went ahead of the records that it covers would make them late. When the
// batch has a barrier that others have not delivered yet, pass returns what
// to wait for.
func (m *merge) pass(i int, b *record.Batch) (aligned <-chan struct{}) {
	m.lock <- struct{}{}
	defer func() { <-m.lock }()
	barrier := b.Barrier
	m.inputs[i].watermark = max(m.inputs[i].watermark, b.Watermark)
	m.inputs[i].now = max(m.inputs[i].now, b.Now)
	m.now = m.time(b.Now)
	watermark := m.watermark()
	if len(b.Records) > 0 || len(b.Side) > 0 || barrier.Kind == record.None {
		b.Now, b.Watermark, b.Ordered, b.Barrier = m.now, watermark, false, record.Barrier{}
		m.out <- b
	} else {
		b.Release()
	}
	if barrier.Kind == record.None || m.live < len(m.inputs) {
		return nil
	}
	if m.waiting == 0 {
		m.barrier = barrier
	} else {
		m.barrier.Held = min(m.barrier.Held, barrier.Held)
		m.barrier.Last = max(m.barrier.Last, barrier.Last)
	}
	m.waiting++
	if m.waiting < len(m.inputs) {
		return m.aligned
	}
	m.out <- &record.Batch{Now: m.now, Watermark: m.watermark(), Barrier: m.barrier}
	m.proceed()
	return nil
}

// proceed lets the streams that wait at a barrier go on.
func (m *merge) proceed() {
	m.waiting = 0
	close(m.aligned)
	m.aligned = make(chan struct{})
}

// time is the processing time behind a batch of the given one. A stream that
// has said nothing yet will not begin before the others did.
func (m *merge) time(now int64) int64 {
	if !m.steady || m.now == record.MinTime {
		return max(m.now, now)
	}
	low := int64(math.MaxInt64)
	for i := range m.inputs {
		low = min(low, m.inputs[i].now)
	}
	return max(m.now, low)
}

// watermark is the lowest of all streams, and never goes back.
func (m *merge) watermark() int64 {
	low := int64(math.MaxInt64)
	for i := range m.inputs {
		low = min(low, m.inputs[i].watermark)
	}
	m.sent = max(m.sent, low)
	return m.sent
}

// fanOut sends every batch to all of n streams. Side records go to the first
// alone. The records are shared, so nobody behind may change them.
func fanOut(wg *sync.WaitGroup, in <-chan any, n int) []<-chan any {
	if n == 1 {
		return []<-chan any{in}
	}
	outs := make([]chan any, n)
	streams := make([]<-chan any, n)
	for i := range outs {
		outs[i] = make(chan any)
		streams[i] = outs[i]
	}
	wg.Go(func() {
		defer func() {
			for _, o := range outs {
				close(o)
			}
		}()
		for el := range in {
			b := el.(*record.Batch)
			// All copies are made before the first is sent, since its
			// receiver may release it at once.
			copies := make([]*record.Batch, n)
			copies[0] = b
			for i := 1; i < n; i++ {
				c := &record.Batch{Records: b.Records, Now: b.Now, Watermark: b.Watermark, Ordered: b.Ordered, Barrier: b.Barrier, Spans: b.Spans}
				c.Share(b)
				copies[i] = c
			}
			for i, o := range outs {
				o <- copies[i]
			}
		}
	})
	return streams
}
