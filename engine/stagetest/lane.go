package stagetest

import (
	"fmt"
	"strings"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// limit is the size of outgoing batches in these tests.
const limit = 5

// lane runs one instance of an operator, as the engine does in a lane, and
// checks what must hold at every step.
type lane struct {
	b      *built
	op     stage.Operator
	watch  *watched
	driver *stage.Driver

	epoch, upstream uint64
	seen            stage.Counts
	watermark       int64 // of the last batch that came out
	keys            map[string]bool
	state           map[string][]byte
	out             []outcome
	skipped         map[uint64]bool // records without a key, which never reach the stage
	// late has what comes out rendered at the end only, and released then:
	// nothing that the operator does later may change it.
	late    bool
	kept    []*record.Batch
	pin     bool   // the memory of what comes in stays until the end
	told    uint64 // the record at which the operator is made to panic
	problem string // the first that was found
	// panicked is the reason of a dead letter for a panic of the operator's own.
	panicked string
}

// outcome is one record that came out or left, as text, and its key.
type outcome struct{ key, text string }

func newLane(b *built) *lane {
	l := &lane{b: b, keys: map[string]bool{}, state: map[string][]byte{}, skipped: map[uint64]bool{}, watermark: record.MinTime, upstream: 1}
	l.start()
	return l
}

// start begins with a new instance.
func (l *lane) start() {
	l.op = l.b.operator.New()
	l.watch = &watched{lane: l, op: l.op, held: map[uint64]stage.Held{}}
	var op stage.Operator = l.watch
	if h, ok := l.op.(stage.Holder); ok {
		op = watchedHolder{l.watch, h}
	}
	l.driver = stage.NewDriver("stage", op, limit, false)
	l.driver.Context.Epoch = l.epoch + 1
}

// restart goes on with a new instance that has the last snapshot, and with
// the stream's time: whatever else the operator knew is lost.
func (l *lane) restart() {
	c := l.driver.Context
	l.start()
	l.driver.Context.Now, l.driver.Context.Watermark = c.Now, c.Watermark
	l.watermark = record.MinTime // it tells those behind anew
	for key, value := range l.state {
		if err := l.driver.Restore(key, append([]byte(nil), value...)); err != nil {
			l.fail("its own state is not accepted: %v", err)
		}
	}
}

func (l *lane) fail(format string, args ...any) {
	if l.problem == "" {
		l.problem = fmt.Sprintf(format, args...)
	}
}

// Put and Delete make a lane the writer of its snapshots.
func (l *lane) Put(key string, value []byte) {
	if !l.keys[key] {
		l.fail("state is kept under %q, which is no record's key", key)
	}
	l.state[strings.Clone(key)] = append([]byte(nil), value...)
}

func (l *lane) Delete(key string) { delete(l.state, key) }

// run sends a whole stream through.
func (l *lane) run(elements []element) *lane {
	for _, e := range elements {
		l.step(e)
	}
	return l.finish()
}

func (l *lane) step(e element) {
	in := record.NewBatch(len(e.inputs))
	in.Now, in.Watermark, in.Ordered = e.now, e.watermark, true
	for _, i := range e.inputs {
		r := record.Record{Time: i.time, Watermark: i.watermark, Origin: record.Origin{Seq: i.seq}}
		took, err := l.b.fill(in, i.payload, r)
		if err != nil {
			l.fail("the sample's document is broken: %v", err)
		}
		l.skipped[i.seq] = !took
	}
	for i := range in.Records {
		l.keys[strings.Clone(in.Records[i].Key)] = true
	}
	var snapshot stage.StateWriter
	if e.barrier != record.None {
		l.epoch++
		l.upstream = max(l.upstream, l.epoch+1-min(e.upstream, l.epoch))
		in.Barrier = record.Barrier{Kind: e.barrier, Epoch: l.epoch, Held: l.upstream, Last: e.last}
		snapshot = l
	}
	if l.pin {
		stays := &record.Batch{}
		stays.Share(in)
		l.kept = append(l.kept, stays)
	}
	barrier, came := in.Barrier, uint64(len(in.Records))
	out := l.driver.Step(in, snapshot)
	for _, b := range out {
		for i := range b.Records {
			delete(l.watch.held, b.Records[i].Origin.Seq)
		}
	}
	l.checkCounts(out, came)
	l.checkBatches(out, barrier, e.watermark)
	l.checkHeld(barrier)
	if snapshot != nil {
		l.checkSize()
	}
	for _, b := range out {
		if l.late {
			l.kept = append(l.kept, b)
			continue
		}
		l.render(b)
		b.Release()
	}
}

// finish renders what was kept.
func (l *lane) finish() *lane {
	for _, b := range l.kept {
		l.render(b)
	}
	for _, b := range l.kept {
		b.Release()
	}
	l.kept = nil
	return l
}

// checkCounts checks the ledger.
func (l *lane) checkCounts(out []*record.Batch, came uint64) {
	n := l.driver.Context.TakeCounts()
	l.seen.Add(n)
	switch {
	case n.In != came:
		l.fail("%d of %d records are counted", n.In, came)
	case !l.seen.Balanced():
		l.fail("the ledger does not balance: %+v", l.seen)
	}
	var went, left uint64
	for _, b := range out {
		went += uint64(len(b.Records))
		left += uint64(len(b.Side))
		for _, s := range b.Side {
			if strings.Contains(s.Reason, "panic: ") && !strings.Contains(s.Reason, toldToPanic) {
				l.panicked = s.Reason
				l.fail("it panics: %s", s.Reason)
			}
			if s.Reason == "" || s.Stage == "" {
				l.fail("a record left without a reason: %+v", s)
			}
		}
	}
	if went != n.Passed+n.Emitted {
		l.fail("%d records came out, %d were passed and %d emitted", went, n.Passed, n.Emitted)
	}
	if left != n.Dead+n.Late {
		l.fail("%d records left, %d are dead and %d late", left, n.Dead, n.Late)
	}
	spec := l.b.operator
	if spec.RecordWise && (n.Emitted > 0 || n.Absorbed > 0 || n.Late > 0 || n.Held != 0) {
		l.fail("it is declared record-wise: %+v", n)
	}
	if spec.Makes && n.Passed > 0 {
		l.fail("it is declared to make its records, and passes some on: %+v", n)
	}
	if !spec.Holds && n.Held != 0 {
		l.fail("it is not declared to hold records: %+v", n)
	}
}

// checkBatches checks what goes out around the records.
func (l *lane) checkBatches(out []*record.Batch, barrier record.Barrier, watermark int64) {
	for i, b := range out {
		last := i+1 == len(out)
		if len(b.Records) > limit {
			l.fail("a batch of %d records, more than %d", len(b.Records), limit)
		}
		if b.Barrier.Kind != record.None != (last && barrier.Kind != record.None) {
			l.fail("the barrier stands at batch %d of %d", i+1, len(out))
		}
		if b.Watermark < l.watermark || b.Watermark > max(watermark, l.watermark) {
			l.fail("the watermark goes from %d to %d, where that of the stream is %d", l.watermark, b.Watermark, watermark)
		}
		for j := range b.Records {
			// What is made of old records alone may be late for those behind.
			if r := &b.Records[j]; r.Watermark < l.watermark && r.Time >= l.watermark {
				l.fail("a record of the time %d with the watermark %d comes behind %d", r.Time, r.Watermark, l.watermark)
			}
		}
		l.watermark = b.Watermark
	}
}

// checkHeld compares what the operator says it holds with what it was seen to
// hold.
func (l *lane) checkHeld(barrier record.Barrier) {
	h, ok := l.op.(stage.Holder)
	if !ok {
		return
	}
	held := h.Held()
	if int64(held.Records) != l.seen.Held {
		l.fail("it says that it holds %d records, and the ledger says %d", held.Records, l.seen.Held)
	}
	if barrier.Kind >= record.Flush && held.Records > 0 {
		l.fail("it holds %d records behind a %s barrier", held.Records, barrier.Kind)
	}
	if held.Records == 0 || l.b.operator.Makes {
		return // of records that are made anew nobody can tell which went in
	}
	want := stage.Held{Records: len(l.watch.held), Epoch: ^uint64(0), Watermark: record.MaxTime}
	for _, one := range l.watch.held {
		want.Epoch, want.Watermark = min(want.Epoch, one.Epoch), min(want.Watermark, one.Watermark)
	}
	if held != want {
		l.fail("it says that it holds %+v, and it holds %+v", held, want)
	}
}

// checkSize compares what the operator says of the size of its state with its
// snapshots.
func (l *lane) checkSize() {
	if !l.b.operator.Stateful {
		return
	}
	o, ok := l.op.(stage.Sized)
	if !ok {
		l.fail("it does not say how large its state is")
		return
	}
	var want int64
	for key, value := range l.state {
		want += int64(len(key) + len(value))
	}
	if keys, bytes := o.Size(); keys != len(l.state) || bytes != want {
		l.fail("it says that its state has %d keys and %d bytes, and it has %d and %d", keys, bytes, len(l.state), want)
	}
}

// render notes what came out, as text.
func (l *lane) render(b *record.Batch) {
	for i := range b.Records {
		r := &b.Records[i]
		text := string(r.Payload)
		if !l.b.operator.Opaque {
			text = string(record.AppendJSON(nil, r))
		}
		if r.Meta != nil {
			text += " " + r.Meta.Lookup(record.Path{{Key: "message_id"}}, r.Origin.Seq).Str()
		}
		l.out = append(l.out, outcome{strings.Clone(r.Key), fmt.Sprintf("%s %q %d %d", text, r.Key, r.Time, r.Watermark)})
	}
	for _, s := range b.Side {
		text := fmt.Sprintf("%d %s %s", s.Kind, record.AppendJSON(nil, &s.Record), s.Reason)
		l.out = append(l.out, outcome{strings.Clone(s.Record.Key), text})
	}
}

const toldToPanic = "as the test wants it"

// watched stands between driver and operator, and notes what is held.
type watched struct {
	lane *lane
	op   stage.Operator
	held map[uint64]stage.Held
}

func (w *watched) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if w.lane.told != 0 && r.Origin.Seq == w.lane.told {
		panic(toldToPanic)
	}
	v := w.op.Process(c, r)
	if v == stage.Hold {
		w.held[r.Origin.Seq] = stage.Held{Epoch: c.Epoch, Watermark: r.Watermark}
	}
	return v
}

func (w *watched) Advance(c *stage.Context) {
	if t, ok := w.op.(stage.Timed); ok {
		t.Advance(c)
	}
}

func (w *watched) End(c *stage.Context) {
	if e, ok := w.op.(stage.Ender); ok {
		e.End(c)
	}
}

func (w *watched) Snapshot(to stage.StateWriter) {
	if s, ok := w.op.(stage.Stateful); ok {
		s.Snapshot(to)
	}
}

func (w *watched) Restore(key string, value []byte) error {
	return w.op.(stage.Stateful).Restore(key, value)
}

type watchedHolder struct {
	*watched
	stage.Holder
}
