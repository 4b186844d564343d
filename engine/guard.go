package engine

import (
	"slices"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/poison"
)

// openGuard opens the guard of a flow that starts. There is none where nothing that
// is noted outlives the process, nor for a flow that begins anew with each
// process: what it read last is then not what it reads first.
func (f *Flow) openGuard() error {
	e, p, store := f.engine, f.Plan, f.engine.config.Store
	anew := !e.store(p).Durable() && slices.ContainsFunc(p.Sources, func(s plan.Source) bool { return s.Spec.Prefetch == 0 })
	if p.Attempts == 0 || anew || !store.Durable() {
		return nil
	}
	c := poison.Config{Store: store, Flow: p.Name, Attempts: p.Attempts, Turn: e.turn, Clock: e.config.Clock, Log: f.log}
	for _, s := range p.Sources {
		if s.Spec.Prefetch > 0 {
			c.InFlight += uint64(s.Spec.Prefetch)
		} else {
			c.InFlight += checkpoint.MaxRecords
		}
	}
	guard, change, err := poison.Open(c)
	f.guard, f.control = guard, append(f.control, change)
	return err
}
