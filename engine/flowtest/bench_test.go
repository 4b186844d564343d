package flowtest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/stages"
)

// variant is a way to run a flow that must not show in its results.
type variant struct{ lanes, batch int }

var variants = []variant{{1, 1}, {1, 1000}, {8, 1}, {8, 1000}}

func (v variant) compile(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
	return flow.Compile(file, src, flow.Options{Params: set, Registry: stages.All(), LanesOverride: v.lanes, BatchSize: v.batch})
}

// play runs a script in every variant and says what it wrote, which has to be
// the same.
func play(t *testing.T, src string, script func(b *flowtest.Bench, log func(format string, args ...any)) error) string {
	t.Helper()
	var first string
	for _, procs := range []int{1, 2, 8} {
		before := runtime.GOMAXPROCS(procs)
		for _, v := range variants {
			var text strings.Builder
			log := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
			err := flowtest.Run(flowtest.Setup{File: "flow.yaml", Src: []byte(src), Compile: v.compile}, func(b *flowtest.Bench) error {
				return script(b, log)
			})
			if err != nil {
				t.Fatalf("%d lanes, batches of %d: %v", v.lanes, v.batch, err)
			}
			if first == "" {
				first = text.String()
			}
			if got := text.String(); got != first {
				t.Fatalf("%d lanes, batches of %d, %d processors:\n%s\nand before:\n%s", v.lanes, v.batch, procs, got, first)
			}
		}
		runtime.GOMAXPROCS(before)
	}
	return first
}

const windows = `
source:
  rabbitmq: {queue: q, declare: {dead_letter: {exchange: x}}}
  time: {field: at, out_of_order: 1s}
stages:
  - filter: "v != nil"
  - name: sums
    window: {by: k, tumbling: 10s, aggregate: {n: "count()", sum: "sum(v)"}}
sink: {rabbitmq: {exchange: e, routing_key: r}}
late: {rabbitmq: {exchange: e, routing_key: late}}
`

func feed(b *flowtest.Bench, lines ...string) error {
	var all []flowtest.Message
	for _, l := range lines {
		all = append(all, flowtest.Message{Payload: []byte(l)})
	}
	return b.Feed(b.Sources()[0], all...)
}

func at(second int, k string, v int) string {
	return fmt.Sprintf(`{"at":%d,"k":%q,"v":%d}`, flowtest.DefaultBase.Unix()+int64(second), k, v)
}

func took(b *flowtest.Bench, place string) string {
	var docs []string
	for _, a := range b.Take(place) {
		docs = append(docs, string(a.Doc))
	}
	return strings.Join(docs, " ")
}

func TestAWindowClosesWhenItsTimeIsOver(t *testing.T) {
	got := play(t, windows, func(b *flowtest.Bench, log func(string, ...any)) error {
		if err := feed(b, at(1, "a", 1), at(2, "b", 2), at(3, "a", 3), at(12, "a", 4), `{"at":"never"}`, at(3, "b", 9)); err != nil {
			return err
		}
		log("%s", took(b, "sink rabbitmq"))
		for _, l := range b.TakeLate() {
			log("late %s %s", l.Doc, l.Reason)
		}
		for _, l := range b.TakeDead() {
			log("dead %s %s", l.Doc, l.Stage)
		}
		log("unsettled %d", b.Unsettled("rabbitmq"))
		if err := b.Advance(time.Second); err != nil {
			return err
		}
		log("unsettled %d, rejected %d", b.Unsettled("rabbitmq"), len(b.Rejected("rabbitmq")))
		return nil
	})
	want := `{"k":"a","window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:10Z","n":2,"sum":4} {"k":"b","window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:10Z","n":1,"sum":2}`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s", got)
	}
	t.Log(got)
}

func TestACrashForgetsWhatWasNotCommitted(t *testing.T) {
	got := play(t, windows, func(b *flowtest.Bench, log func(string, ...any)) error {
		steps := []func() error{
			func() error { return feed(b, at(1, "a", 1)) },
			func() error { return b.Advance(time.Second) },
			func() error { return feed(b, at(2, "a", 2)) },
			b.Crash,
			func() error { return b.LoseSession("rabbitmq") },
			func() error { return b.Advance(time.Second) },
			func() error { return feed(b, at(30, "z", 2)) },
			func() error {
				return b.Submit(change.Change{Source: []byte(strings.Replace(windows, "sum(v)", "max(v)", 1)), From: "api"})
			},
			b.Drain,
		}
		for i, s := range steps {
			if err := s(); err != nil {
				return err
			}
			log("%d %v %s %d", i, b.Elapsed(), took(b, "sink rabbitmq"), b.Unsettled("rabbitmq"))
		}
		for _, r := range b.TakeReceipts() {
			log("%s %s %s", r.ID, r.Outcome, r.Reason)
		}
		log("%s", fmt.Sprint(b.State()))
		return nil
	})
	t.Log(got)
}
