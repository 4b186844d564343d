package flow_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/stage"
)

type holder struct {
	size int
	wait time.Duration
}

func (h *holder) bind(f *conf.Fields) {
	f.Int(&h.size, "size", 1, "How many.")
	f.Duration(&h.wait, "wait", time.Second, "How long.")
}

func TestWhatIsHeldLongerOrInLargerGroupsThanASourceBearsIsWarnedOf(t *testing.T) {
	kinds := []stage.Kind{
		stage.DefineSource("queue", "Reads a queue.", (*nothing).bind, func(*nothing, *stage.Builder) stage.SourceSpec {
			return stage.SourceSpec{Raw: true, Rejects: true, Prefetch: 100, Patience: 30 * time.Minute, Text: "q"}
		}),
		stage.DefineStage("hold", "Holds.", (*holder).bind, func(h *holder, _ *stage.Builder) stage.OperatorSpec {
			return stage.OperatorSpec{Holds: true, Group: h.size, Wait: h.wait, Text: "hold"}
		}),
		stage.DefineStage("total", "Has state.", (*nothing).bind, func(*nothing, *stage.Builder) stage.OperatorSpec {
			return stage.OperatorSpec{Stateful: true, Makes: true, Signature: "s", Text: "total"}
		}),
		stage.DefineStage("split", "Makes many of one.", (*nothing).bind, func(*nothing, *stage.Builder) stage.OperatorSpec {
			return stage.OperatorSpec{Text: "split"}
		}),
	}
	const (
		group = "no group ever has 101 records, since at most 100 messages are delivered"
		ends  = "the broker of queue ends the session when a message is not acknowledged for 30m (consumer_timeout)"
	)
	for _, c := range []struct {
		source, stages, sink, rest string
		want                       []string
	}{
		{stages: "{hold: {size: 100, wait: 29m}}"},
		{stages: "{hold: {size: 101}}", want: []string{"a.yaml:2:11: warning: hold: " + group}},
		{stages: "{split: {}}, {hold: {size: 101}}"},
		{stages: "{total: {}}, {hold: {size: 101, wait: 1h}}"},
		{stages: "{hold: {wait: 30m}}", want: []string{"hold: records wait for up to 30m, and " + ends}},
		{stages: "{hold: {wait: 16m}}, {name: more, hold: {wait: 16m}}", want: []string{"more: records wait for up to 32m, and " + ends}},
		{stages: "{hold: {wait: 1h}}, {total: {}}"}, // it lets go with every epoch
		{
			stages: "{route: {match: all, branches: [{name: a, when: \"true\", stages: [{hold: {size: 101, wait: 20m}}]}, {name: b, when: \"true\"}]}}, {name: more, hold: {size: 101, wait: 20m}}",
			want:   []string{"more: records wait for up to 40m"},
		},
		{sink: ", deadline: 1h", want: []string{"deadline 1h is never reached, since " + ends}},
		{source: ", rate_limit: {records: 1, per: 1m}", want: []string{"a.yaml:1:10: warning: queue: at 1 records per 1m, the 100 messages that it gets ahead are not acknowledged for up to 1h40m"}},
		{source: ", rate_limit: {records: 1, per: 10s}"},
		{stages: "{total: {}}", rest: "checkpoint: {interval: 45m}\n", want: []string{"checkpoint: interval 45m is too long, since " + ends}},
		{rest: "checkpoint: {interval: 45m}\n"},
	} {
		o := options()
		o.Registry = stage.NewRegistry(append(o.Registry.Kinds(), kinds...)...)
		text := "source: {queue: {}" + c.source + "}\nstages: [" + cmp.Or(c.stages, "{split: {}}") + "]\nsink: {stdout: {}" + c.sink + "}\n" + c.rest
		p, problems := compile(t, "a.yaml", text, o)
		if p == nil {
			t.Fatal(text, problems.Err())
		}
		var have []string
		for _, d := range problems {
			have = append(have, d.String())
		}
		all := strings.Join(have, "\n")
		for _, want := range c.want {
			if !strings.Contains(all, want) {
				t.Errorf("%s: got %q, want %q", text, all, want)
			}
		}
		if len(have) != len(c.want) {
			t.Errorf("%s: got %q", text, all)
		}
	}
}
