package drop

import (
	"context"
	"testing"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

func TestDropTakesEverythingAndCountsIt(t *testing.T) {
	spec := Sink().Sink(new(Config), &stage.Builder{Diags: new(diag.List)})
	sink := spec.New(stage.Runtime{})
	if err := sink.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{3, 0, 5} {
		if took, err := sink.Write(context.Background(), make([]record.Record, n)); took != n || err != nil {
			t.Fatalf("took %d of %d: %v", took, n, err)
		}
	}
	calls := 0
	sink.Flush(func(err error) {
		if calls++; err != nil {
			t.Error(err)
		}
	})
	if calls != 1 {
		t.Errorf("flush answered %d times", calls)
	}
	if got := sink.(*Dropper).Count(); got != 8 {
		t.Errorf("counted %d, want 8", got)
	}
}
