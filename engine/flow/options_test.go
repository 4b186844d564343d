package flow_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/plan"
)

const paramFlow = `name: p
params:
  lanes: {default: 4, min: 1, max: 64}
  ratio: {default: 1.5}
  on: true
  host: localhost
  needed: {max: 10}
source: {file: {path: "${params.host}/${params.on}/${params.ratio}"}}
stages:
  - partition: {by: a, lanes: "${params.lanes}"}
  - filter: "a > params.needed"
sink: {stdout: {}}
`

func TestParamsAreSetFromOutside(t *testing.T) {
	tests := []struct {
		name string
		set  map[string]string
		want string // the error, "" for none
		text string // of the source
	}{
		{name: "needed alone", set: map[string]string{"needed": "3"}, text: "localhost/true/1.5"},
		{name: "all", set: map[string]string{"needed": "3.5", "ratio": "2", "on": "false", "host": "007", "lanes": "64"}, text: "007/false/2"},
		{name: "none", want: `p.yaml:7:3: param "needed" has no value; give it a default, or set it with --set needed=…`},
		{
			name: "above the range", set: map[string]string{"needed": "11"},
			want: `p.yaml:7:3: param "needed": 11 is above the maximum 10 (set: needed=11); use at most 10`,
		},
		{
			name: "below the range", set: map[string]string{"needed": "1", "lanes": "0"},
			want: `p.yaml:3:3: param "lanes": 0 is below the minimum 1 (set: lanes=0); use at least 1`,
		},
		{
			name: "not a whole number", set: map[string]string{"needed": "1", "lanes": "2.5"},
			want: `p.yaml:3:3: param "lanes": expected a whole number, got "2.5" (set: lanes=2.5); set another value`,
		},
		{
			name: "not a number", set: map[string]string{"needed": "1", "ratio": "high"},
			want: `p.yaml:4:3: param "ratio": expected a number, got "high" (set: ratio=high); set another value`,
		},
		{
			name: "not true or false", set: map[string]string{"needed": "1", "on": "1"},
			want: `p.yaml:5:3: param "on": expected true or false, got "1" (set: on=1); set another value`,
		},
		{
			name: "unknown", set: map[string]string{"needed": "1", "lnaes": "2", "zzzz": "1"},
			want: `p.yaml:3:3: unknown param "lnaes" (set: lnaes=2); did you mean "lanes"?` + "\n" +
				`p.yaml:3:3: unknown param "zzzz" (set: zzzz=1); known: lanes, ratio, on, host, needed`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			o.Params = test.set
			p, list := compile(t, "p.yaml", paramFlow, o)
			got := ""
			if err := list.Err(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Fatalf("got  %s\nwant %s", got, test.want)
			}
			if p != nil && p.Sources[0].Spec.Text != test.text {
				t.Errorf("source is %q, want %q", p.Sources[0].Spec.Text, test.text)
			}
		})
	}
}

func TestASetParamSaysThatItCameFromAFlag(t *testing.T) {
	o := options()
	o.Params = map[string]string{"needed": "3"}
	p, _ := compile(t, "p.yaml", paramFlow, o)
	from := map[string]string{}
	for _, v := range p.Params {
		from[v.Name] = v.From
	}
	if from["needed"] != "flag" || from["lanes"] != "default" {
		t.Errorf("params came from %v", from)
	}
}

func TestTheVersionNamesTheContentAndTheParams(t *testing.T) {
	version := func(src, needed string) string {
		o := options()
		o.Params = map[string]string{"needed": needed}
		p, list := compile(t, "p.yaml", src, o)
		if p == nil {
			t.Fatal(list.Err())
		}
		return p.Version
	}
	first := version(paramFlow, "1")
	if len(first) != 12 || first != version(paramFlow, "1") {
		t.Errorf("version %q is not the same 12 digits each time", first)
	}
	if first == version(paramFlow, "2") || first == version(paramFlow+"\n", "1") {
		t.Error("another param or another content has the same version")
	}
}

func TestLanesAreOverriddenForPartitionsWithAKey(t *testing.T) {
	o := options()
	o.LanesOverride = 5
	p, list := compile(t, "repartition.yaml", read(t, "testdata/good/repartition.yaml"), o)
	if p == nil {
		t.Fatal(list.Err())
	}
	var lanes []int
	plan.Walk(p.Nodes, func(n plan.Node) {
		if part, ok := n.(*plan.Partition); ok {
			lanes = append(lanes, part.Lanes)
		}
	})
	if got := fmt.Sprint(lanes); got != "[5 1 5 5]" {
		t.Errorf("lanes are %s", got)
	}
}

func TestTheNameOfAFlowIsThatOfItsFile(t *testing.T) {
	const src = "source: {typed: {}}\nsink: {stdout: {}}\n"
	for file, want := range map[string]string{"flows/a-b_1.yaml": "a-b_1", "x.yml": "x", "plain": "plain"} {
		p, list := compile(t, file, src, options())
		if p == nil {
			t.Fatal(list.Err())
		}
		if p.Name != want {
			t.Errorf("%s is called %q, want %q", file, p.Name, want)
		}
	}
	_, list := compile(t, "flows/My Flow.yaml", src, options())
	if err := list.Err(); err == nil || !strings.Contains(err.Error(), "add name: my_flow") {
		t.Errorf("a file name that cannot be a name gives %v", err)
	}
}

func TestAFileBeyondALimitIsOneClearErrorFast(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	tests := map[string]struct{ src, want string }{
		"2 MiB":         {"# " + strings.Repeat("x", 2<<20), "more than the limit"},
		"100 deep":      {"source: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested deeper than"},
		"alias bomb":    {bomb, "after its aliases are expanded"},
		"self":          {"source: &a [*a]\n", "contains itself"},
		"empty":         {"", "empty"},
		"not UTF-8":     {"name: \xff", "not UTF-8"},
		"two documents": {"a: 1\n---\nb: 2\n", "second document"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, list := compile(t, "big.yaml", test.src, options())
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			if !strings.Contains(fmt.Sprint(list.Err()), test.want) {
				t.Errorf("got %v, want %q", list.Err(), test.want)
			}
			if name != "self" && len(list) != 1 {
				t.Errorf("it is reported %d times: %v", len(list), list)
			}
		})
	}
}

func TestOneRegistryServesSeveralCompilers(t *testing.T) {
	src := read(t, "testdata/good/sensors.yaml")
	o := options()
	var wg sync.WaitGroup
	plans := make([]*plan.Plan, 8)
	for i := range plans {
		wg.Go(func() { plans[i], _ = flow.Compile("sensors.yaml", []byte(src), o) })
	}
	wg.Wait()
	for _, p := range plans {
		if p == nil || dump(p, nil) != dump(plans[0], nil) {
			t.Fatal("the plans differ")
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, src := range []string{
		"source: {file: {path: a}}\nsink: {stdout: {}}\n",
		"params: {a: {default: 1, min: 0}}\nsource: {typed: }\nstages:\n  - filter: \"reading > params.a\"\nsink: {stdout: {}}\n",
		"sources: [{made: {}, time: {field: at}}]\nstages:\n  - route: {match: all, branches: [{when: \"id > 1\", stages: [{process: [{set: {a: \"1\"}}]}]}, {otherwise: true, sink: {stdout: {}}}]}\n  - window: {by: a, tumbling: 1s, mean: a}\nsinks: [{stdout: {}}, {table: {columns: [mean]}}]\n",
		"- a\n", "stages: [[], {}, , x, {route: {branches: {}}}]\nsource:\nsink: [\n",
		"source: &x {typed: {}, time: *x}\nstages: [{partition: {by: [\"1\", a.b, \"\"]}}]\n",
	} {
		f.Add(src)
	}
	for _, dir := range []string{"good", "bad"} {
		all, err := filepath.Glob("testdata/" + dir + "/*.yaml")
		if err != nil || len(all) == 0 {
			f.Fatalf("no flows in %s (%v)", dir, err)
		}
		for _, file := range all {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(src))
		}
	}
	o := options()
	o.Params = map[string]string{"a": "2"}
	f.Fuzz(func(t *testing.T, src string) {
		began := time.Now()
		p, list := flow.Compile("fuzz.yaml", []byte(src), o)
		if took := time.Since(began); took > time.Minute {
			t.Fatalf("it took %v", took)
		}
		if (p == nil) != list.HasErrors() {
			t.Fatalf("plan is nil: %v, errors: %v", p == nil, list.Err())
		}
		if p != nil {
			_ = dump(p, list)
		}
	})
}
