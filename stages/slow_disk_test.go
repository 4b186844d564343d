package stages_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/stages"
)

// stuckStore commits nothing until it is let go.
type stuckStore struct {
	*checkpoint.Memory
	letGo chan struct{}
}

func (s stuckStore) Durable() bool { return true }

func (s stuckStore) Commit(c checkpoint.Commit) error {
	<-s.letGo
	return s.Memory.Commit(c)
}

// TestADiskThatStandsStillStopsTheSource: changed state does not pile up in
// memory, and nothing is lost when the disk goes on.
func TestADiskThatStandsStillStopsTheSource(t *testing.T) {
	const keys = 120_000
	src := fmt.Sprintf(`
name: stuck
source: {generate: {count: %d, rows: {k: "index"}, realtime: false}}
checkpoint: {interval: 1s}
stages:
  - partition: {by: k, lanes: 2}
  - window: {global: true, emit: {every: 1h}, aggregate: {n: "count()"}}
sink: {drop: {}}
durability: disk
`, keys)
	p, problems := flow.Compile("stuck.yaml", []byte(src), flow.Options{
		Registry: stages.All(), Env: func(string) (string, bool) { return "", false },
	})
	if p == nil {
		t.Fatal(problems.Err())
	}
	synctest.Test(t, func(t *testing.T) {
		store := stuckStore{checkpoint.NewMemory(), make(chan struct{})}
		f := engine.New(engine.Config{Store: store, Workers: 2}).Start(p)
		absorbed := func() (n uint64) {
			for _, r := range f.Ledger.Rows() {
				if strings.HasPrefix(r.Kind, "window") {
					n += r.Counts().Absorbed
				}
			}
			return n
		}
		time.Sleep(time.Minute) // of the bubble's time: everything waits for the disk
		if n := absorbed(); n == 0 || n > keys*3/4 {
			t.Errorf("%d of %d records were taken while the disk stood still", n, keys)
		}
		close(store.letGo)
		if err := f.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := absorbed(); n != keys {
			t.Errorf("%d of %d records were taken in the end", n, keys)
		}
	})
}
