package flow_test

import (
	"testing"
)

func TestNamesOfMetadataThatNoRecordHasAreWarnedOf(t *testing.T) {
	for _, c := range []struct {
		name, source, stages, sink, want string
	}{
		{name: "known", source: "source: {file: {path: a}}", stages: `[{filter: "meta.line > 1 && meta.source == 'file'"}]`},
		{
			name: "near", source: "source: {file: {path: a}}", stages: `[{filter: "meta.lnie > 1"}]`,
			want: `m.yaml:2:20: warning: filter: meta.lnie is always nil: no record here has it; did you mean "meta.line"?`,
		},
		{name: "nothing is known of the source", source: "source: {typed: {}}", stages: `[{filter: "meta.lnie > 1"}]`},
		{name: "of one of two sources", source: "sources: [{file: {path: a}}, {made: {}}]", stages: `[{filter: "meta.line > 1 || meta.index > 2"}]`},
		{name: "nothing is known of one of two sources", source: "sources: [{file: {path: a}}, {typed: {}}]", stages: `[{filter: "meta.lnie > 1"}]`},
		{
			name: "behind a stage that makes records", source: "source: {file: {path: a}}",
			stages: `[{window: {tumbling: 1s, mean: "meta.line"}}, {filter: "meta.message_id != meta.line"}]`,
			want:   `m.yaml:2:84: warning: filter: meta.line is always nil: no record here has it; known: meta.message_id`,
		},
		{
			name: "of a branch", source: "source: {file: {path: a}}",
			stages: `[{route: {branches: [{when: "meta.line > 1"}, {when: "meta.offest > 1", stages: [{window: {tumbling: 1s, mean: "x"}}]}]}}, {filter: "meta.line == meta.message_id"}]`,
			want:   `m.yaml:2:63: warning: branch_2: meta.offest is always nil: no record here has it; known: meta.file, meta.line, meta.source`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, list := compile(t, "m.yaml", c.source+"\nstages: "+c.stages+"\nsink: {stdout: {}}\n", options())
			got := ""
			for _, d := range list {
				got += d.String()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
