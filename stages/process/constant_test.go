package process

import (
	"testing"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
)

func TestAConditionThatReadsNoFieldGetsAWarning(t *testing.T) {
	for step, want := range map[string]string{
		`filter: "true"`:        `flow.yaml:1:9: warning: filter: the condition reads no field: every record passes; name a field, or remove it`,
		`filter: "1 > 2"`:       `flow.yaml:1:9: warning: filter: the condition reads no field: no record passes; name a field, or remove it`,
		`assert: "'a' == 'a'"`:  `flow.yaml:1:9: warning: assert: the condition reads no field: it holds for every record; name a field, or remove it`,
		`assert: {that: "1>2"}`: `flow.yaml:1:16: warning: assert: the condition reads no field: every record becomes a dead letter; name a field, or remove it`,
		`filter: "a > 1"`:       "",
		`filter: "params.on"`:   "",
	} {
		b := newBench()
		b.params = map[string]record.Value{"on": record.BoolValue(true)}
		b.mustAdd(t, step)
		got := ""
		for _, d := range b.diags {
			got += d.String()
			if d.Severity != diag.Warning {
				t.Errorf("%s: %s is no warning", step, d)
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", step, got, want)
		}
	}
}
