package process

import (
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

func TestStepsDoWhatTheirPagesSay(t *testing.T) {
	tests := []struct {
		name      string
		steps     []string
		in        []string
		out, dead []string
	}{
		{
			name:  "filter keeps what is true and dead-letters what cannot be told",
			steps: []string{`filter: "reading > 10"`},
			in:    []string{`{"reading":11}`, `{"reading":10}`, `{"x":1}`, `{"reading":null}`},
			out:   []string{`{"reading":11}`},
			dead: []string{
				`{"x":1} filter: "reading > 10": reading is missing*`,
				`{"reading":null} filter: "reading > 10": reading is null*`,
			},
		},
		{
			name:  "a filter that is a plain field wants it to be true or false",
			steps: []string{`filter: "ok"`},
			in:    []string{`{"ok":true}`, `{"ok":false}`, `{}`},
			out:   []string{`{"ok":true}`},
			dead:  []string{`{} filter: "ok" is nil*`},
		},
		{
			name:  "set replaces in place, appends what is new, and sees what was set before",
			steps: []string{`set: {b: "a + 1", c: "b * 2", a: "'x'"}`},
			in:    []string{`{"a": 1,"b":7}`},
			out:   []string{`{"a":"x","b":2,"c":4}`},
		},
		{
			name:  "set makes the objects on the way, and reads inside what it has set",
			steps: []string{`set: {"site.name": "upper(n)", "site.floor": "2", "copy": "site.name"}`},
			in:    []string{`{"n":"x"}`, `{"n":"y","site":{"id":7,"name":"old"}}`},
			out:   []string{`{"n":"x","site":{"name":"X","floor":2},"copy":"X"}`, `{"n":"y","site":{"id":7,"name":"Y","floor":2},"copy":"Y"}`},
		},
		{
			name:  "set to nil is null",
			steps: []string{`set: {b: "nil", c: "gone", "d.e": "gone"}`},
			in:    []string{`{"a":1}`},
			out:   []string{`{"a":1,"b":null,"c":null,"d":{"e":null}}`},
		},
		{
			name:  "a set that fails leaves the dead letter as the record came",
			steps: []string{`set: {first: "1"}`, `set: {first: "2", "a.b": "3", last: "x + 1"}`},
			in:    []string{`{"a":{"b":1}}`, `{"a":5,"x":1}`},
			dead: []string{
				`{"a":{"b":1},"first":1} set: last: "x + 1": x is missing*`,
				`{"a":5,"x":1,"first":1} set: a.b: a is an int, not an object`,
			},
		},
		{
			name:  "select orders, moves what is inside and leaves out what is missing",
			steps: []string{`select: [c, a.x, "b[1].y"]`},
			in:    []string{`{"a":{"x":1.50},"b":[0,{"y":"z"}],"c":3,"d":4}`, `{"d":4}`},
			out:   []string{`{"c":3,"x":1.50,"y":"z"}`, `{}`},
		},
		{
			name:  "select may swap what is inside two fields",
			steps: []string{`select: [a.b, b.a]`, `set: {c: "a", d: "b"}`},
			in:    []string{`{"a":{"b":1},"b":{"a":2}}`},
			out:   []string{`{"b":1,"a":2,"c":2,"d":1}`},
		},
		{
			name:  "what select dropped does not come back through set",
			steps: []string{`select: a`, `set: {"b.new": "1"}`},
			in:    []string{`{"a":1,"b":{"old":1}}`},
			out:   []string{`{"a":1,"b":{"new":1}}`},
		},
		{
			name:  "drop_fields drops fields and what is inside them",
			steps: []string{`drop_fields: [a, "b.x", "c[0]", nothing]`},
			in:    []string{`{"a":1,"b":{"x":1,"y":2},"c":[1,2],"d":1e3}`, `{ "b": 1 }`},
			out:   []string{`{"b":{"y":2},"c":[2],"d":1e3}`, `{"b": 1}`},
		},
		{
			name:  "a dropped field is missing for what follows, also inside",
			steps: []string{`drop_fields: a`, `set: {b: "a?.x == nil"}`},
			in:    []string{`{"a":{"x":1}}`},
			out:   []string{`{"b":true}`},
		},
		{
			name:  "rename keeps place and bytes, and takes the place of its new name",
			steps: []string{`rename: {a: b}`, `set: {c: "b.x", d: "a == nil"}`},
			in:    []string{`{"a":{"x": 1.0},"b":2}`, `{"b":{"x":5}}`},
			out:   []string{`{"b":{"x": 1.0},"c":1.0,"d":true}`, `{"b":{"x":5},"c":5,"d":true}`},
		},
		{
			name:  "renames follow each other",
			steps: []string{`rename: {a: tmp, b: a, tmp: b}`},
			in:    []string{`{"a":1,"b":2}`},
			out:   []string{`{"b":1,"a":2}`},
		},
		{
			name:  "assert names the expression and what it read",
			steps: []string{`assert: "reading < 100 && line != 'x'"`},
			in:    []string{`{"reading":5,"line":"a"}`, `{"reading":120,"line":"a"}`, `{"line":"a"}`},
			out:   []string{`{"reading":5,"line":"a"}`},
			dead: []string{
				`{"reading":120,"line":"a"} assert: "reading < 100 && line != 'x'" is false (reading = 120, line = "a")`,
				`{"line":"a"} assert: "reading < 100 && line != 'x'" cannot be told: "reading < 100": reading is missing (nil), so it cannot be compared (reading = missing, line = "a")`,
			},
		},
		{
			name:  "assert has a reason and cuts long values",
			steps: []string{`assert: {that: "s == ''", reason: "s must be empty"}`},
			in:    []string{`{"s":"` + strings.Repeat("ä", 100) + `"}`},
			dead:  []string{`{"s":"` + strings.Repeat("ä", 100) + `"} assert: s must be empty: "s == ''" is false (s = "` + strings.Repeat("ä", 29) + `…)`},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, dead := through(t, test.steps, test.in...)
			equal(t, "records", out, test.out)
			like(t, "dead letters", dead, test.dead)
		})
	}
}

func TestUntouchedRecordsKeepTheirBytes(t *testing.T) {
	in := `{ "id": 9007199254740993123 , "x" : 1e400 }`
	steps := []string{`filter: "true"`, `assert: "id != nil"`, `rename: {gone: there}`, `drop_fields: [x.y]`}
	out, _ := through(t, steps, in)
	equal(t, "records", out, []string{in})
	// An edit that finds nothing to do may touch the space between fields.
	out, _ = through(t, []string{`drop_fields: gone`}, in)
	equal(t, "records", out, []string{`{"id": 9007199254740993123,"x" : 1e400}`})
}

func TestMistakesAreFoundWhereTheyStand(t *testing.T) {
	tests := []struct{ before, step, want string }{
		{"", `filter: "1 + 1"`, "flow.yaml:1:9: filter: the condition is of type number, not true or false"},
		{"", `filter: "reading >"`, "flow.yaml:1:"},
		{"select: [a, b]", `filter: "aa > 1"`, `flow.yaml:1:10: filter: unknown field "aa"`},
		{"", `set: {}`, "flow.yaml:1:6: set is empty; give it a value"},
		{"", `set: {"a..b": "1"}`, `flow.yaml:1:7: set: path "a..b": character 3: expected a field name, got '.'`},
		{"", `set: {"[0]": "1"}`, `flow.yaml:1:7: set: "[0]" begins with a list position, but a record is an object; begin with the name of a field`},
		{`set: {a: "1"}`, `set: {a.b: "1"}`, `flow.yaml:1:7: set: cannot set "a.b", since a is of type int; choose another name, or drop the field first`},
		{"select: [alpha, beta]", `select: [alpa]`, `flow.yaml:1:10: select: unknown field "alpa"; did you mean "alpha"?`},
		{"select: [alpha, beta]", `drop_fields: [zzz]`, `flow.yaml:1:15: drop_fields: unknown field "zzz"; there is alpha, beta`},
		{"select: [alpha, beta]", `rename: {zzz: y}`, `flow.yaml:1:10: rename: unknown field "zzz"; there is alpha, beta`},
		{"", `select: [a.x, x]`, `flow.yaml:1:15: select: two fields would be called "x"; rename one of them with set before`},
		{"", `select: ["a[0]"]`, `flow.yaml:1:10: select: "a[0]" ends with a list position, which gives the field no name; give it one before, with set: {name: "a[0]"}`},
		{"", `rename: {a: b.c}`, `flow.yaml:1:13: rename: "b.c" is inside a field, expected the name of a field of the record itself; use set for the new field and drop_fields for the old one`},
		{"", `rename: {a: a}`, `flow.yaml:1:13: rename: "a" is the old and the new name; remove it, or choose another name`},
		{"", `assert: {reason: x}`, `flow.yaml:1:9: assert: that is missing; add "that:": The expression that must be true`},
		{"", `assert: "'a'"`, `flow.yaml:1:9: assert: the condition is of type string, not true or false`},
		{`set: {a: "1"}`, `explode: a`, `flow.yaml:1:10: explode: a is of type int, not a list`},
		{"", `explode: {field: a, max: 0}`, `flow.yaml:1:26: explode: max 0 is below the minimum 1; use at least 1`},
		{"", `explode: {field: a, keep_parent: false, on_empty: keep}`, `flow.yaml:1:10: explode: on_empty: keep has no record to keep`},
		{"", `explode: {field: a, as: b.c}`, `flow.yaml:1:25: explode: "b.c" is inside a field`},
		{"", `dedupe: {within: 1s}`, `flow.yaml:1:9: dedupe: by is missing`},
		{"", `dedupe: {by: []}`, `flow.yaml:1:14: dedupe: by is empty`},
		{"", `dedupe: {by: id, within: 0s}`, `flow.yaml:1:26: dedupe: within 0s is below the minimum 1ms`},
		{"", `dedupe: []`, `flow.yaml:1:9: dedupe is empty`},
		{"", `lookup: {table: x.csv, key: "id"}`, `flow.yaml:1:9: lookup: one of into or fields is needed`},
		{"", `lookup: {table: x.csv, key: "id", into: a, fields: b}`, `lookup: into and fields cannot be given together`},
		{"", `lookup: {table: nowhere.csv, key: "id", into: a}`, `flow.yaml:1:17: lookup: there is no file "nowhere.csv"; paths start at the working directory, /`},
		{"", `lookup: {table: x.json, key: "id", into: a, types: {a: int}}`, `flow.yaml:1:9: lookup: types are for a CSV file`},
	}
	for _, test := range tests {
		t.Run(test.step, func(t *testing.T) {
			b := newBench()
			if test.before != "" {
				b.mustAdd(t, test.before)
			}
			if b.add(test.step) {
				t.Fatal("no error")
			}
			if got := b.diags.Err().Error(); !strings.HasPrefix(got, test.want) && !strings.Contains(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestAWrittenFieldIsNoLongerTheKey(t *testing.T) {
	tests := []struct {
		step  string
		stays bool
	}{
		{`set: {x: "1"}`, true},
		{`set: {sensor.id: "1"}`, false},
		{`filter: "sensor.id == 1"`, true},
		{`drop_fields: sensor`, true}, // the key that records have is still theirs
		{`drop_fields: sensor.id`, false},
		{`rename: {x: sensor}`, false},
		{`rename: {sensor: x}`, true},
		{`select: [sensor, x]`, true},
		{`select: [x.sensor]`, false},
		{`explode: sensor`, false},
		{`explode: {field: x, as: sensor}`, false},
		{`explode: {field: x, keep_parent: false}`, false},
		{`explode: x`, true},
	}
	for _, test := range tests {
		b := newBench().mustAdd(t, `dedupe: {by: sensor.id}`)
		b.key = b.keys[0]
		b.mustAdd(t, test.step)
		if got := b.key != nil; got != test.stays {
			t.Errorf("%s: key stays: %v, want %v", test.step, got, test.stays)
		}
	}
}

func TestShapesAreSharedByRecords(t *testing.T) {
	b := newBench().mustAdd(t, `set: {a: "1"}`, `rename: {b: c}`, `drop_fields: d`).start(100)
	first := map[*record.Shape]bool{}
	for range 10 {
		for _, out := range b.run(t, b.batch(t, 1, `{"b":1,"d":2}`, `{"d":2}`, `{"b":3}`)) {
			for i := range out.Records {
				first[out.Records[i].Shape] = true
			}
		}
	}
	if len(first) != 2 {
		t.Errorf("got %d shapes, want one for records with b and one for those without", len(first))
	}
}

func TestEqualShapesOfSeveralLanesGoOutAsOne(t *testing.T) {
	set := transition{apply: func(s *record.Shape) *record.Shape { return s.Set("a", 1) }}
	var s *record.Shape
	one, two := s.Drop("b"), s.Drop("b")
	if set.next(one) != set.next(two) {
		t.Error("two shapes where one would do")
	}
	if out := set.next(one); set.next(out) != out {
		t.Error("another shape for no change")
	}
	for range 3 * shapes { // more than it remembers
		if !set.next(s.Drop("b")).Equal(one.Set("a", 1)) {
			t.Fatal("a wrong shape")
		}
	}
	if len(set.known) > shapes {
		t.Errorf("remembers %d shapes", len(set.known))
	}
}
