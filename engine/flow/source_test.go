package flow_test

import (
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/stage"
)

func TestWarningsOfSourcesThatDoNotGoWithTheFlow(t *testing.T) {
	queue := stage.DefineSource("queue", "Reads a queue.", (*nothing).bind, func(*nothing, *stage.Builder) stage.SourceSpec {
		return stage.SourceSpec{Raw: true, Rejects: true, Unordered: true, Drops: "rejects are dropped", DropsAdvice: "declare", Text: "q"}
	})
	sorted := stage.DefineStage("sorted", "Depends on order.", (*nothing).bind, func(*nothing, *stage.Builder) stage.OperatorSpec {
		return stage.OperatorSpec{Ordered: true, Text: "sorted"}
	})
	const order, drops = `lose their order, since several consumers read them, and stage "sorted" depends on order`, "queue: rejects are dropped; declare"
	for _, c := range []struct {
		flow string
		want []string
	}{
		{"source: {queue: {}}\nstages: [{sorted: {}}]\nsink: {stdout: {}}\n", []string{order, drops}},
		{"source: {queue: {}}\nsink: {stdout: {}}\ndead_letter: {stdout: {}}\n", nil},
		{"source: {queue: {}}\nsink: {stdout: {}}\n", []string{drops}},
		{"source: {typed: {}}\nstages: [{sorted: {}}]\nsink: {stdout: {}}\n", nil},
	} {
		o := options()
		o.Registry = stage.NewRegistry(append(o.Registry.Kinds(), queue, sorted)...)
		p, problems := compile(t, "a.yaml", c.flow, o)
		if p == nil {
			t.Fatal(problems.Err())
		}
		var have []string
		for _, d := range problems {
			have = append(have, d.String())
		}
		text := strings.Join(have, "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) || !strings.Contains(text, "a.yaml:1:10: warning: queue: ") {
				t.Errorf("%s: got %q, want %q", c.flow, text, want)
			}
		}
		if len(have) != len(c.want) {
			t.Errorf("%s: got %q", c.flow, text)
		}
	}
}
