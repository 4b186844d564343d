package checkpoint

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
)

// Epochs is the bookkeeping of the epochs in flight: plain data, without
// goroutines or time. It belongs to one [Coordinator].
type Epochs struct {
	sources []string
	sinks   int

	first   uint64     // the oldest epoch that is not committed
	next    uint64     // the next epoch to begin
	open    []*epoch   // first … next-1, by number
	arrived []uint64   // by sink: the last barrier that it has made durable
	held    []uint64   // by sink: what that barrier said is still held
	rejects [][]uint64 // by source: sequence numbers to reject, not settled yet
	settled []uint64   // by source: the last sequence number that was settled
	bytes   int        // size of the deltas of open epochs
}

// maxOpen bounds the epochs in the books. Beyond it those that are only held
// are thinned.
const maxOpen = 256

type epoch struct {
	last   uint64 // its number; of a thinned one, the number of its last epoch
	kind   record.BarrierKind
	marks  []Mark
	deltas []*Delta
}

// Mark is where a source was at a barrier.
type Mark struct {
	Position []byte
	// Seq is the last sequence number before the barrier.
	Seq uint64
	// Watermark is the source's, as of the barrier.
	Watermark int64
	// Now is the processing time that the barrier brought. No stage has seen a
	// later one in the snapshot that it gave at the barrier.
	Now int64
	// IDs are the ids of the deliveries since the barrier before, of those that
	// have one: what became of them is remembered.
	IDs []DeliveryID
}

// DeliveryID is the id that a sender gave to a delivery.
type DeliveryID struct {
	Seq uint64
	ID  string
}

// Done is a run of epochs that are complete and are to be committed together.
type Done struct {
	Commit Commit
	Kind   record.BarrierKind // of the last epoch
	// Settle is, by source, what becomes of its deliveries, and Settled how
	// many of them there are.
	Settle  []Settle
	Settled uint64
}

// Settle is the fate of a source's deliveries up to one of them.
type Settle struct {
	Upto     uint64
	Rejected []uint64
}

// NewEpochs begins the books of a graph with the given sources and number of sinks.
func NewEpochs(sources []string, sinks int) *Epochs {
	e := &Epochs{sources: sources, sinks: sinks, first: 1, next: 1}
	e.arrived = make([]uint64, sinks)
	e.held = make([]uint64, sinks)
	for i := range e.held {
		e.held[i] = 1
	}
	e.rejects = make([][]uint64, len(sources))
	e.settled = make([]uint64, len(sources))
	return e
}

// Begin begins the next epoch and returns the barrier that will end it.
func (e *Epochs) Begin(kind record.BarrierKind) record.Barrier {
	if len(e.open) >= maxOpen {
		e.thin()
	}
	e.open = append(e.open, &epoch{last: e.next, kind: kind, marks: make([]Mark, len(e.sources))})
	b := record.Barrier{Kind: kind, Epoch: e.next, Held: e.next + 1}
	e.next++
	return b
}

func (e *Epochs) at(k uint64) *epoch {
	if k < e.first || k >= e.next {
		panic(fmt.Sprintf("epoch %d is not in flight (%d to %d are)", k, e.first, e.next-1))
	}
	i, _ := slices.BinarySearchFunc(e.open, k, func(ep *epoch, k uint64) int { return cmp.Compare(ep.last, k) })
	return e.open[i]
}

// thin halves the number of epochs that every sink has seen, but of which
// records are still held: two neighbours become one, which is complete when
// the later of them is. A record that is held for hours costs a later commit
// of what came with it, rather than ever more memory.
func (e *Epochs) thin() {
	seen := slices.Min(e.arrived)
	var kept []*epoch
	for i := 0; i < len(e.open); i++ {
		ep := e.open[i]
		if i+1 < len(e.open) && e.open[i+1].last <= seen {
			i++
			later := e.open[i]
			later.deltas = append(ep.deltas, later.deltas...)
			for s := range later.marks {
				later.marks[s].IDs = append(ep.marks[s].IDs, later.marks[s].IDs...)
			}
			ep = later
		}
		kept = append(kept, ep)
	}
	e.open = kept
}

// Mark says where a source was at barrier k.
func (e *Epochs) Mark(k uint64, source int, m Mark) { e.at(k).marks[source] = m }

// Snapshot adds what a state changed in epoch k.
func (e *Epochs) Snapshot(k uint64, d *Delta) {
	if d.Len() > 0 {
		ep := e.at(k)
		ep.deltas = append(ep.deltas, d)
		e.bytes += d.size()
	}
}

// Reject says that a delivery is to be rejected when its epoch is settled. It
// is too late for one that is settled already: a broker closes the channel
// when it hears of a delivery twice.
func (e *Epochs) Reject(source int, seq uint64) {
	if seq <= e.settled[source] {
		return
	}
	e.rejects[source] = append(e.rejects[source], seq)
}

// Durable says that a sink has made everything before barrier b durable.
// Calls for one sink come in the order of the barriers.
func (e *Epochs) Durable(sink int, b record.Barrier) {
	e.arrived[sink] = max(e.arrived[sink], b.Epoch)
	e.held[sink] = max(e.held[sink], min(b.Held, b.Epoch+1))
}

// Travelling is the number of barriers that have not reached every sink.
func (e *Epochs) Travelling() int { return int(e.next - 1 - min(slices.Min(e.arrived), e.next-1)) }

// Open is the number of epochs in the books, and Bytes the size of their
// snapshots.
func (e *Epochs) Open() int  { return len(e.open) }
func (e *Epochs) Bytes() int { return e.bytes }

// Complete returns the epochs that can be committed now, and counts them as
// committed. ok is false when there is none.
//
// An epoch is complete when no record of it is held anywhere and every sink
// has made what came of it durable: it lies before every sink's Held, which
// never exceeds the barriers that the sink has seen.
func (e *Epochs) Complete() (done Done, ok bool) {
	before := slices.Min(e.held)
	n := 0
	for n < len(e.open) && e.open[n].last < before {
		n++
	}
	if n == 0 {
		return Done{}, false
	}
	last := e.open[n-1]
	done.Kind = last.kind
	done.Commit = Commit{Epoch: last.last, Now: record.MinTime, Positions: map[string]Position{}}
	for _, ep := range e.open[:n] {
		done.Commit.Deltas = append(done.Commit.Deltas, ep.deltas...)
		for _, d := range ep.deltas {
			e.bytes -= d.size()
		}
	}
	for i, name := range e.sources {
		m := last.marks[i]
		done.Commit.Positions[name] = Position{Bytes: m.Position, Watermark: m.Watermark}
		done.Commit.Now = max(done.Commit.Now, m.Now)
		e.settled[i] = m.Seq
		s := Settle{Upto: m.Seq, Rejected: e.takeRejects(i, m.Seq)}
		done.Settle = append(done.Settle, s)
		for _, ep := range e.open[:n] {
			for _, d := range ep.marks[i].IDs {
				_, rejected := slices.BinarySearch(s.Rejected, d.Seq)
				done.Commit.Verdicts = append(done.Commit.Verdicts, Verdict{Source: name, ID: d.ID, Rejected: rejected, At: m.Now})
			}
		}
	}
	e.open = slices.Clone(e.open[n:])
	e.first = last.last + 1
	return done, true
}

// takeRejects removes the rejected sequence numbers up to upto, ascending and
// each once: several records of one delivery may have died.
func (e *Epochs) takeRejects(source int, upto uint64) []uint64 {
	all := e.rejects[source]
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	all = slices.Compact(all)
	n, found := slices.BinarySearch(all, upto)
	if found {
		n++
	}
	e.rejects[source] = slices.Clone(all[n:])
	return all[:n:n]
}
