package flowtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// source is what stands in place of one source of the flow: the queue, stream
// or file itself, which outlives every session and every crash.
//
// Where the real source rejects deliveries it is a queue: what is not settled
// when a session ends is delivered again, in its old order, and said to be
// redelivered. Any other source goes on from the position that was committed.
type source struct {
	name  string
	queue bool

	mu      sync.Mutex
	log     []*message
	ended   bool  // no more messages will come
	lost    error // the next Read ends the session with it
	session *session
}

// session is one life of the source's connection.
type session struct {
	*source
	prefetch, limit int
	layout          *record.Layout
	projector       *record.Projector // of a source that makes its records
	schema          *expr.Schema
	turn            chan struct{} // lets one Read go on

	reading bool // a Read waits for its turn
	stopped bool
	at      int // of the log: what is read next
	bySeq   []*message
	settled uint64
}

var (
	_ stage.Source  = (*session)(nil)
	_ stage.Stopper = queueSession{}
)

// queueSession is a session that can be told to take nothing more, as those of
// queues can.
type queueSession struct{ *session }

// spec is the source's own spec with memory in place of what it reads.
func (s *source) spec(real stage.SourceSpec, p *plan.Plan) stage.SourceSpec {
	s.queue = real.Rejects
	real.New = func(rt stage.Runtime) stage.Source {
		one := &session{
			source: s, prefetch: real.Prefetch, limit: max(rt.MaxBatch, 1), layout: p.Layout, schema: real.Schema,
			turn: make(chan struct{}),
		}
		if !real.Raw {
			one.projector = record.NewProjector(p.Layout)
		}
		if s.queue {
			return queueSession{one}
		}
		return one
	}
	return real
}

// Open begins a session at a position.
func (s *session) Open(_ context.Context, position []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.bySeq, s.settled, s.stopped = 0, []*message{nil}, 0, false
	if !s.queue && position != nil {
		if len(position) != 8 {
			return fmt.Errorf("the position of %s is not one of a flow test", s.name)
		}
		s.at = int(binary.BigEndian.Uint64(position))
	}
	s.source.session, s.lost = s, nil
	return nil
}

// Read waits for the bench to give the source its turn.
func (s *session) Read(ctx context.Context) (stage.Input, error) {
	s.wait(true)
	defer s.wait(false)
	select {
	case <-s.turn:
		return s.next()
	case <-ctx.Done():
		return stage.Input{}, ctx.Err()
	}
}

func (s *session) wait(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = yes
}

// ready says whether a Read waits that has something to return. Sessions that
// are over are not asked.
func (s *source) ready() (*session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.session
	if one == nil || !one.reading {
		return nil, false
	}
	return one, s.lost != nil || one.stopped || one.deliverable() > 0 || s.ended && one.skip() == len(s.log)
}

// skip is the place of the next message of the log that is to be delivered.
func (s *session) skip() int {
	for s.queue && s.at < len(s.log) && s.log[s.at].settled {
		s.at++
	}
	return s.at
}

// deliverable is how many messages the session may take now.
func (s *session) deliverable() int {
	n := min(len(s.log)-s.skip(), s.limit)
	if s.prefetch > 0 {
		n = min(n, s.prefetch-(len(s.bySeq)-1-int(s.settled)))
	}
	return n
}

func (s *session) next() (stage.Input, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.deliverable()
	switch {
	case s.lost != nil:
		err := s.lost
		s.lost = nil
		return stage.Input{}, err
	case s.stopped:
		return stage.Input{}, stage.ErrStopped
	case n <= 0 && s.ended:
		return stage.Input{}, io.EOF
	case n <= 0:
		return stage.Input{}, errors.New("it was given a turn without a message")
	}
	return s.input(n), nil
}

// input takes up to n messages.
func (s *session) input(n int) stage.Input {
	in := stage.Input{Batch: record.NewBatch(n)}
	var ids []string
	var again []bool
	named := false
	for ; n > 0 && s.skip() < len(s.log); n-- {
		m := s.log[s.at]
		s.at++
		m.sent++
		r := record.Record{Payload: m.Payload, Origin: record.Origin{Seq: uint64(len(s.bySeq))}}
		s.bySeq = append(s.bySeq, m)
		if m.Meta != nil {
			r.Meta = given(m.Meta)
		}
		if s.projector != nil {
			if err := s.fill(&r); err != nil {
				in.Batch.Side = append(in.Batch.Side, record.Side{Record: r, Kind: record.Dead, Stage: s.name, Reason: err.Error()})
				continue
			}
		}
		in.Batch.Append(r)
		ids, again = append(ids, m.id()), append(again, m.sent > 1)
		named = named || m.id() != ""
	}
	if s.queue && named {
		in.IDs, in.Redelivered = ids, again
	}
	if !s.queue {
		in.Position = binary.BigEndian.AppendUint64(nil, uint64(s.at))
	}
	return in
}

// fill reads the fields of a record that the real source would have made. A
// number without decimals is a float where the source makes floats.
func (s *session) fill(r *record.Record) error {
	r.Fields = make([]record.Value, s.layout.Len())
	if err := s.projector.Project(r.Payload, r.Fields); err != nil {
		r.Fields = nil
		return err
	}
	for i, v := range r.Fields {
		path := s.layout.Path(record.Slot(i))
		if typ, _ := s.schema.Lookup(path[0].Key); len(path) == 1 && typ == expr.Float && v.Kind() == record.Int {
			r.Fields[i] = record.FloatValue(v.Float())
		}
	}
	return nil
}

// Settle acknowledges, and notes what was rejected.
func (s *session) Settle(_ context.Context, what stage.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.settled < what.Upto; s.settled++ {
		s.bySeq[s.settled+1].settled = true
	}
	for _, seq := range what.Rejected {
		s.bySeq[seq].rejected = true
	}
	return nil
}

// Stop has the session take nothing more.
func (s queueSession) Stop(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return nil
}

// Close ends the session. A session that another has taken the place of is
// over already.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.source.session == s {
		s.source.session = nil
	}
	return nil
}

// of is the message that a delivery of the current session is.
func (s *source) of(seq uint64) *message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil || seq == 0 || seq >= uint64(len(s.session.bySeq)) {
		return nil
	}
	return s.session.bySeq[seq]
}

// unsettled is the number of messages that are not settled; of a source that
// is no queue, those that were not handed over yet or whose epoch is not
// committed.
func (s *source) unsettled() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.log {
		if !m.settled {
			n++
		}
	}
	return n
}
