package topology

import (
	"context"
	"fmt"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
)

// How one graph takes over from another, over one store: the new one opens
// its sinks ([Graph.Preflight]) while the old one still runs; the old one is
// drained, hence parked; the new one restores the state ([Graph.Restore]) and
// takes the intakes ([Graph.Adopt]); the old one is stopped, and the new one
// runs. Until the old one is stopped, [Graph.Resume] lets it go on.

// Preflight opens the sinks, until ctx is done. Each is tried once: whoever
// waits for an answer learns what fails, and may try again. An error that
// waiting may cure is transient. A graph that fails is discarded.
func (g *Graph) Preflight(ctx context.Context) error {
	cancel := context.AfterFunc(ctx, g.Stop)
	err := g.openWith((*writer).openOnce)
	if !cancel() && err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// Discard closes a graph that never runs.
func (g *Graph) Discard() error {
	g.Stop()
	if !g.opened {
		return nil
	}
	return g.closeSinks()
}

// Adopt gives the graph its intakes, in the order of the plan's sources.
// Those that another graph has used go on where it left them.
func (g *Graph) Adopt(intakes []*Intake) { g.config.Intakes = intakes }

// Takeover says what is to become of one stage's state.
type Takeover struct {
	// Discard drops it.
	Discard bool
	// Edit changes the state by hand; nil: it does not.
	Edit *checkpoint.Edit
	// From is the stage that the state is taken from; "": the stage itself.
	From string
	// Carry turns a value into one of the new stage, nil for none. nil: as it is.
	Carry func(key string, value []byte) ([]byte, error)
}

// Restore makes every operator and gives it its state of the last commit,
// changed as how says, by stage. It returns what that changes in the store:
// the caller commits it before Run. Stages of how that are not in the plan are
// dropped likewise.
func (g *Graph) Restore(how map[string]Takeover) ([]*checkpoint.Delta, error) {
	last, resumed, err := g.config.Store.Last(g.plan.Name)
	if err != nil {
		return nil, fmt.Errorf("read the last commit: %w", err)
	}
	g.last = last
	if resumed {
		g.now = last.Now
	}
	b := &builder{g: g, operators: map[*plan.Operator][]*operator{}, how: how}
	if _, err := b.prepare(g.plan.Nodes, 1); err != nil {
		return nil, err
	}
	for name, h := range how {
		if h.Discard {
			if err := b.discard(h.origin(name)); err != nil {
				return nil, err
			}
		}
	}
	g.built = b
	return b.deltas, nil
}

// edits says whether the value of a key that is there is not to be restored,
// and notes it when the key goes.
func (t Takeover) edits(key string, delta *checkpoint.Delta) bool {
	if t.Edit == nil {
		return false
	}
	value, edited := t.Edit.Keys[key]
	if !edited && !t.Edit.Clear {
		return false
	}
	if value == nil {
		delta.Delete(key)
	}
	return true
}

func (t Takeover) origin(name string) string {
	if t.From != "" {
		return t.From
	}
	return name
}

// discard deletes the state of a stage.
func (b *builder) discard(name string) error {
	delta := &checkpoint.Delta{Stage: name}
	err := b.g.config.Store.State(b.g.plan.Name, name, func(key string, _ []byte) error {
		delta.Delete(key)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the state of %s: %w", name, err)
	}
	b.deltas = append(b.deltas, delta)
	return nil
}

// restore gives each key of the stage's state to the lane that it belongs to.
func (b *builder) restore(n *plan.Operator) error {
	how := b.how[n.Name]
	if !n.Spec.Stateful || how.Discard {
		return nil
	}
	ops := b.operators[n]
	delta := &checkpoint.Delta{Stage: n.Name}
	moved := &checkpoint.Delta{Stage: how.From}
	err := b.g.config.Store.State(b.g.plan.Name, how.origin(n.Name), func(key string, value []byte) error {
		if how.From != "" {
			moved.Delete(key)
		}
		if how.edits(key, delta) {
			return nil
		}
		if how.Carry != nil {
			carried, err := how.Carry(key, value)
			if err != nil {
				return err
			}
			if carried == nil {
				delta.Delete(key)
				return nil
			}
			value = carried
		}
		if how.Carry != nil || how.From != "" {
			delta.Put(key, value)
		}
		lane := record.Hash(key) % uint64(len(ops))
		return ops[lane].driver.Restore(key, value)
	})
	if err == nil && how.Edit != nil {
		for key, value := range how.Edit.Keys {
			if value != nil && err == nil {
				delta.Put(key, value)
				err = ops[record.Hash(key)%uint64(len(ops))].driver.Restore(key, value)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("restore the state of %s: %w", n.Name, err)
	}
	for _, d := range []*checkpoint.Delta{delta, moved} {
		if d.Len() > 0 {
			b.deltas = append(b.deltas, d)
		}
	}
	return nil
}

// Empty has stages of a parked graph emit what their state holds, and forget
// it. It returns when that is committed.
func (g *Graph) Empty(ctx context.Context, stages []string) error {
	return g.settle(ctx, func(ctx context.Context) error { return g.coord.Empty(ctx, stages) })
}
