package stagetest

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

// element is one batch of a schedule.
type element struct {
	inputs         []input
	now, watermark int64
	last           int64 // see record.Barrier
	barrier        record.BarrierKind
	// upstream is how many epochs back something is still held upstream.
	upstream uint64
}

// input is one record of a schedule.
type input struct {
	payload         string
	time, watermark int64
	seq             uint64
}

// schedule draws a stream: batches of records that are out of order, empty
// batches, and barriers of every kind, up to the end of input.
func (c *checked) schedule(rnd *rand.Rand) []element {
	const begin = int64(1_767_225_600 * 1e9)
	slack := int64(rnd.IntN(6)) * int64(time.Second)
	jitter := 1 + rnd.Int64N(int64(8*time.Second))
	pace := 1 + rnd.Int64N(int64(3*time.Second))
	var all []element
	now, highest, watermark, seq := begin, begin, int64(record.MinTime), uint64(0)
	for range 4 + rnd.IntN(12) {
		now += rnd.Int64N(int64(700 * time.Millisecond))
		e := element{now: now}
		for range rnd.IntN(12) {
			highest += rnd.Int64N(pace)
			seq++
			in := input{payload: c.sample.document(rnd, int(seq)), time: highest - rnd.Int64N(jitter), seq: seq}
			watermark = max(watermark, in.time-slack)
			in.watermark = watermark
			e.inputs = append(e.inputs, in)
		}
		e.watermark = watermark
		switch rnd.IntN(10) {
		case 0, 1, 2:
			e.barrier, e.upstream = record.Checkpoint, uint64(rnd.IntN(3))
		case 3:
			e.barrier = record.Flush
		case 4:
			e.barrier = record.Drain
		}
		all = append(all, e)
	}
	return append(all, element{now: now, watermark: record.MaxTime, last: watermark, barrier: record.End})
}

// padded is the same stream with empty batches and repeated barriers between
// its elements, which change nothing.
func padded(rnd *rand.Rand, elements []element) []element {
	var all []element
	for i, e := range elements {
		all = append(all, e)
		if i+1 == len(elements) {
			break // nothing follows the end
		}
		for range rnd.IntN(3) {
			again := element{now: e.now, watermark: e.watermark}
			if rnd.IntN(2) == 0 {
				again.barrier = record.Checkpoint
			}
			all = append(all, again)
		}
	}
	return all
}

// without is the stream without one record.
func without(elements []element, seq uint64) []element {
	all := slices.Clone(elements)
	for i := range all {
		all[i].inputs = slices.DeleteFunc(slices.Clone(all[i].inputs), func(in input) bool { return in.seq == seq })
	}
	return all
}

func records(elements []element) (n int) {
	for _, e := range elements {
		n += len(e.inputs)
	}
	return n
}
