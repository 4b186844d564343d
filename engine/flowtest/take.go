package flowtest

import (
	"slices"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Take hands over what came to a place since it was asked for last: "sink
// health", or a stage or branch of [Setup.Watch].
func (b *Bench) Take(place string) []Arrival {
	i := b.inbox(place)
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.all
	i.all = nil
	return ordered(all)
}

// TakeLate hands over the records that came too late, and TakeDead the dead
// letters; where the flow has no place for late ones they are dead letters.
func (b *Bench) TakeLate() []Left {
	return b.takeLeft(func(l *Left) bool { return l.Late && b.Plan().Late != nil })
}

// TakeDead hands over the dead letters since it was asked for last.
func (b *Bench) TakeDead() []Left {
	return b.takeLeft(func(l *Left) bool { return !l.Late || b.Plan().Late == nil })
}

func (b *Bench) takeLeft(want func(*Left) bool) []Left {
	b.mu.Lock()
	defer b.mu.Unlock()
	var taken, kept []Left
	for i := range b.gone {
		if want(&b.gone[i]) {
			taken = append(taken, b.gone[i])
		} else {
			kept = append(kept, b.gone[i])
		}
	}
	b.gone = kept
	var arrivals []Arrival
	byPlace := map[string][]Left{}
	for _, l := range taken {
		arrivals = append(arrivals, l.Arrival)
		byPlace[l.Key] = append(byPlace[l.Key], l)
	}
	// In the order of the arrivals, of which those of one key are in theirs.
	out := make([]Left, 0, len(taken))
	for _, a := range ordered(arrivals) {
		out = append(out, byPlace[a.Key][0])
		byPlace[a.Key] = byPlace[a.Key][1:]
	}
	return out
}

// TakeReceipts hands over the receipts since it was asked for last.
func (b *Bench) TakeReceipts() []change.Receipt {
	all := b.receipts
	b.receipts = nil
	return all
}

// Count is a row of the ledger.
type Count struct {
	Name, Kind string
	stage.Counts
}

// Ledger is what the flow has counted since it was started or has crashed,
// stage by stage.
func (b *Bench) Ledger() []Count {
	return slices.DeleteFunc(b.rows(), func(c Count) bool { return c.Kind == tapKind })
}

// rows is the ledger with its taps.
func (b *Bench) rows() []Count {
	var all []Count
	for _, row := range b.flow.Ledger.Rows() {
		all = append(all, Count{row.Name, row.Kind, row.Counts()})
	}
	return all
}

// passes is the rows of this life of the flow and of those before.
func (b *Bench) passes() []Count { return append(slices.Clone(b.lives), b.rows()...) }

// Unsettled is the number of messages of a source that are neither
// acknowledged nor rejected, those included that it has not handed over yet.
func (b *Bench) Unsettled(source string) int { return b.source(source).unsettled() }

// Rejected is the messages of a source that were rejected, in their order.
func (b *Bench) Rejected(name string) (all []Message) {
	s := b.source(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.log {
		if m.rejected {
			all = append(all, m.Message)
		}
	}
	return all
}

// Places lists where something came that was not taken: sinks, late, dead_letter.
func (b *Bench) Places() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for name, i := range b.inboxes {
		i.mu.Lock()
		if len(i.all) > 0 {
			all = append(all, name)
		}
		i.mu.Unlock()
	}
	slices.Sort(all)
	return all
}

// Trail says where a message was seen last, "" if nowhere. Messages are
// counted from 1, as they were fed.
func (b *Bench) Trail(number int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trail[number]
}
