package topology

import (
	"testing"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

type stepFunc func(c *stage.Context, r *record.Record) stage.Verdict

func (f stepFunc) Process(c *stage.Context, r *record.Record) stage.Verdict { return f(c, r) }

func stepNode(name string, f stepFunc) *plan.Operator {
	return &plan.Operator{Name: name, Kind: "step", Spec: stage.OperatorSpec{RecordWise: true, New: func() stage.Operator { return f }}}
}

func on(key string, do func(*stage.Context, *record.Record) stage.Verdict) stepFunc {
	return func(c *stage.Context, r *record.Record) stage.Verdict {
		if r.Field(0).Str() == key {
			return do(c, r)
		}
		return stage.Pass
	}
}

func TestAChainTakesEachRecordThroughAllStepsAndKeepsTheOrder(t *testing.T) {
	ledger := &telemetry.Ledger{}
	panics := func(*stage.Context, *record.Record) stage.Verdict { panic("no") }
	c := newChain([]plan.Node{
		stepNode("first", on("b", panics)),
		stepNode("second", on("c", func(c *stage.Context, r *record.Record) stage.Verdict { return c.Dead(r, "bad") })),
		&plan.Route{Name: "route", InPlace: true, Branches: []plan.Branch{
			{Name: "d", When: compiled(t, keyLayout(), `key == "d"`), Nodes: []plan.Node{stepNode("inner", panics)}},
			{Name: "not f", When: compiled(t, keyLayout(), `key != "f"`)},
		}},
		stepNode("last", on("e", func(*stage.Context, *record.Record) stage.Verdict { return stage.Filter })),
	}, ledger, nil)
	out := c.step(keyed("a", "b", "c", "d", "e", "f", "g"))
	got := ""
	for _, r := range out.Records {
		got += r.Field(0).Str()
	}
	if got != "ag" {
		t.Errorf("%q go on, want ag", got)
	}
	blame := map[string]string{}
	for _, s := range out.Side {
		blame[s.Record.Field(0).Str()] = s.Stage + ": " + s.Reason
	}
	for key, want := range map[string]string{"b": "first: panic: no", "c": "second: bad", "d": "inner: panic: no"} {
		if blame[key] != want {
			t.Errorf("%s left as %q, want %q", key, blame[key], want)
		}
	}
	for name, want := range map[string]stage.Counts{
		"first":  {In: 7, Passed: 6, Dead: 1},
		"second": {In: 6, Passed: 5, Dead: 1},
		"route":  {In: 5, Passed: 4, Filtered: 1},
		"inner":  {In: 1, Dead: 1},
		"last":   {In: 3, Passed: 2, Filtered: 1},
	} {
		for _, row := range ledger.Rows() {
			if row.Name == name && row.Counts() != want {
				t.Errorf("%s counts %+v, want %+v", name, row.Counts(), want)
			}
		}
	}
}
