package main

import (
	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/telemetry/prom"
)

// scrape is what Prometheus is told of the flows of a host.
func scrape(h *engine.Host) (all []prom.Flow) {
	running := map[string]*engine.Flow{}
	for _, f := range h.Flows() {
		running[f.Current().Name] = f
	}
	for _, s := range h.Status() {
		if f := running[s.Name]; f != nil {
			all = append(all, prom.Flow{Name: s.Name, State: s.State, Ready: s.Ready, Snapshot: f.Snapshot()})
		}
	}
	return all
}
