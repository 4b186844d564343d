package topology

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/telluride-stream/telluride/engine/record"
)

// sides is where records go that left the flow on their way: dead letters and
// late ones. Its sinks take part in every epoch ([sides.sync]) and never make
// dead letters themselves. All terminals share it.
type sides struct {
	graph *Graph
	// lock is a mutex made of a channel: it is held while a sink is retried,
	// and waiting for it must count as waiting for a scripted clock.
	lock  chan struct{}
	dead  *writer // nil: the sources reject
	late  *writer // nil: as dead letters
	spare *writer // for what no source can reject; nil: the log is all there is
	// unsynced says that something was written that may not be durable yet.
	unsynced bool
	telling  rate.Sometimes
	twins    twins
}

// take writes side records, or notes that their deliveries are to be rejected.
func (s *sides) take(side []record.Side, now int64) error {
	if len(side) == 0 {
		return nil
	}
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	for i := range side {
		if err := s.one(&side[i], now); err != nil {
			return err
		}
		s.unsynced = true
	}
	return nil
}

func (s *sides) one(side *record.Side, now int64) error {
	if left := s.graph.config.Left; left != nil {
		left(*side)
	}
	one := [1]record.Record{side.Record}
	if side.Kind == record.Late && s.late != nil {
		return s.late.write(s.graph.aborted, one[:], nil)
	}
	s.graph.lettered.Add(1)
	if s.dead == nil {
		if o := side.Record.Origin; o.Seq > 0 {
			s.graph.coord.Reject(o.Source, o.Seq)
			s.tell(side)
			return nil
		}
		if s.spare == nil {
			s.graph.config.Runtime.Log.Error("a dead letter has no place to go", "stage", side.Stage, "reason", side.Reason)
			return nil
		}
		one[0] = s.letter(side, now)
		return s.spare.write(s.graph.aborted, one[:], nil)
	}
	one[0] = s.letter(side, now)
	return s.dead.write(s.graph.aborted, one[:], nil)
}

// tell logs why a delivery is rejected, since the broker keeps it without the
// reason: the first few, and then one a second.
func (s *sides) tell(side *record.Side) {
	s.telling.Do(func() {
		args := []any{"stage", side.Stage, "reason", side.Reason}
		if m := side.Record.Meta; m != nil {
			if id := m.Lookup(idPath, side.Record.Origin.Seq); !id.IsNil() {
				args = append(args, "message_id", id.Text())
			}
		}
		s.graph.config.Runtime.Log.Warn("a delivery is rejected", args...)
	})
}

// sync makes durable what was written, unless ctx is done first: another
// goroutine may be trying to write for as long as a sink is away.
func (s *sides) sync(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.lock }()
	if !s.unsynced {
		return nil
	}
	for _, w := range []*writer{s.dead, s.late, s.spare} {
		if w != nil {
			if err := w.sync(ctx); err != nil {
				return err
			}
		}
	}
	s.unsynced = false
	return nil
}
