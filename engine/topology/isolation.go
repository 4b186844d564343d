package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/poison"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// isolation is what a pump does while the flow's guard is wary: a batch waits
// for its turn, goes alone, and nothing follows until it is committed. Without a
// guard, and while all is well, it costs a look at a flag a batch.
type isolation struct {
	guard *poison.Guard
	// turn takes the turn; nil unless the pending batch waits for it.
	turn chan<- struct{}
	// rested says that nothing was in flight before the pending batch for as
	// long as the guard wants.
	rested bool
	// alone is the last sequence number of the batch in flight; 0: none that
	// others wait for.
	alone    uint64
	patience clock.Timer
	// impatience is that of patience; nil for a guard that does not watch, as
	// is committed.
	impatience <-chan time.Time
	// committed tells that something was committed. Its capacity is 1.
	committed chan struct{}
}

func newIsolation(guard *poison.Guard, c clock.Clock) isolation {
	i := isolation{guard: guard}
	if guard.Watching() {
		i.committed = make(chan struct{}, 1)
		i.patience = c.NewTimer(time.Hour)
		i.patience.Stop()
		i.impatience = i.patience.C()
	}
	return i
}

// look has the pump look whether its batch has landed.
func (i *isolation) look() {
	select {
	case i.committed <- struct{}{}:
	default:
	}
}

// proceed sends the pending batch, or has it wait: for the timer, and then it is
// to be called again, or for its turn. false: the graph stops.
func (p *pump) proceed(wait clock.Timer) (ready <-chan time.Time, on bool) {
	if !p.guard.Watching() {
		return nil, p.sendPending()
	}
	if !p.rested {
		p.rested = true
		if d := p.guard.Rest(p.names(&p.pending)); d > 0 {
			wait.Reset(d)
			return wait.C(), true
		}
	}
	p.turn = p.guard.Turn()
	return nil, true
}

// names are those of the records that were read.
func (p *pump) names(in *stage.Input) []string {
	names := make([]string, len(in.Batch.Records))
	for i := range names {
		names[i] = nameOf(&in.Batch.Records[i], p.intake.Name, idAt(in.IDs, i))
	}
	return names
}

func idAt(ids []string, i int) string {
	if ids == nil {
		return ""
	}
	return ids[i]
}

// nameOf is what a record is known by to the next process that reads it: where
// it stands, or its sender's id, and its content.
func nameOf(r *record.Record, source, id string) string {
	h := sha256.New()
	if r.Payload != nil {
		h.Write(r.Payload)
	} else {
		h.Write(record.AppendJSON(nil, r))
	}
	place := id
	if at := placeOf(r); at != "" {
		place = at
	}
	if place != "" {
		place = " " + place
	}
	return source + place + " #" + hex.EncodeToString(h.Sum(nil)[:12])
}

// condemn makes dead letters of records that the guard has condemned, and
// returns the names of the others.
func (p *pump) condemn(in *stage.Input) []string {
	b := in.Batch
	names := p.names(in)
	kept := 0
	for i := range b.Records {
		reason, deaths := p.guard.Condemned(names[i])
		if reason != "" {
			b.Side = append(b.Side, record.Side{Record: b.Records[i], Kind: record.Dead, Stage: p.intake.Name, Reason: reason, Attempts: deaths})
			continue
		}
		b.Records[kept], names[kept] = b.Records[i], names[i]
		kept++
	}
	b.Records = b.Records[:kept]
	return names[:kept]
}

// isolate is called before records up to seq are sent. Dead letters too are
// waited for: what comes next may end the process, and they would come again.
func (p *pump) isolate(in *stage.Input, seq uint64) error {
	names := p.condemn(in)
	p.rested = false
	if p.turn == nil {
		return nil // the guard does not watch any more
	}
	p.turn = nil
	p.alone = seq // before it can be committed
	p.patience.Reset(p.guard.Patience())
	return p.guard.Begin(names)
}

// landed looks whether the batch in flight is committed.
func (p *pump) landed() bool {
	switch {
	case p.alone == 0:
		return true
	case p.coord.Settled(p.index) >= p.alone:
		p.alone = 0
		p.patience.Stop()
		return p.holds(p.guard.Landed())
	case !p.guard.Watching():
		p.alone = 0 // nobody waits for it any more
	}
	return true
}

// impatient lets others go while a batch does not land.
func (p *pump) impatient() bool {
	if p.alone == 0 || !p.guard.Watching() {
		return true
	}
	p.alone = 0
	return p.holds(p.guard.Leave())
}
