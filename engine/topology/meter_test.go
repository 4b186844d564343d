package topology

import (
	"testing"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

func TestStagesOfOneNameAreMeasuredApart(t *testing.T) {
	ledger := &telemetry.Ledger{}
	g := New(&plan.Plan{}, Config{Ledger: ledger, Clock: clock.System{}})
	seen := map[*telemetry.Node]bool{}
	for range 2 { // two branches, each with a stage "partition" in two lanes
		for lane := range 2 {
			seen[g.meter(ledger.Row("partition", "partition"), lane).node] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d nodes for 4 goroutines", len(seen))
	}
	again := New(&plan.Plan{}, Config{Ledger: ledger, Clock: clock.System{}})
	if n := again.meter(ledger.Row("partition", "partition"), 0).node; !seen[n] {
		t.Error("the next graph does not go on with the nodes of the one before")
	}
}
