package stages_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages"
)

func runTrial(t *testing.T, yaml string, lines ...string) *trial {
	t.Helper()
	r := &trial{feeds: [][]string{lines}, reads: []int{2, 1}, got: map[string][]string{}}
	r.options.LanesOverride = 3
	if problem := r.run(t, yaml); problem != "" {
		t.Fatalf("%s\n%s", problem, yaml)
	}
	return r
}

func TestAWindowKnowsItsKeyThoughTheFieldIsDropped(t *testing.T) {
	r := runTrial(t, `
source: {feed: {}, time: {field: at, out_of_order: 0s}}
stages:
  - partition: {by: sensor_id}
  - drop_fields: [sensor_id]
  - window: {tumbling: 10s, aggregate: {n: "count()"}}
sink: {gather: {}}
`, `{"sensor_id":"a","at":1}`, `{"sensor_id":"b","at":2}`, `{"sensor_id":"a","at":3}`, `{"sensor_id":"b","at":11}`)
	got := slices.Sorted(slices.Values(r.got["out"]))
	want := []string{
		`{"sensor_id":"a","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z","n":2}`,
		`{"sensor_id":"b","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z","n":1}`,
		`{"sensor_id":"b","window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:20Z","n":1}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestTheReasonsOfRecordsWithoutAUsableTime(t *testing.T) {
	r := runTrial(t, `
source: {feed: {}, time: {field: at, out_of_order: 0s, max_ahead: 90s}}
sink: {gather: {}}
dead_letter: {gather: {into: dead}}
`, `{"nope":1}`, `{"at":null}`, `{"at":"2099-01-01T00:00:00Z"}`, `{"at":1}`)
	for i, want := range []string{
		`"reason":"time: the record has no field at"`,
		`"reason":"time: at: null is not a time"`,
		`"reason":"time: 2099-01-01T00:00:00Z is more than max_ahead (1m30s) in the future"`,
	} {
		if i >= len(r.got["dead"]) || !strings.Contains(r.got["dead"][i], want) {
			t.Errorf("dead letter %d is not for %s: %q", i, want, r.got["dead"])
		}
	}
}

func TestRecordsKnowTheirSource(t *testing.T) {
	r := runTrial(t, `
sources:
  - {name: morning, feed: {}}
  - {name: evening, feed: {}}
stages:
  - set: {from: "meta.source"}
sink: {gather: {}}
`, `{"x":1}`)
	if got := slices.Sorted(slices.Values(r.got["out"])); !slices.Equal(got, []string{`{"x":1,"from":"evening"}`, `{"x":1,"from":"morning"}`}) {
		t.Errorf("got %q", got)
	}
}

// What batch makes of several records is written as it is: a line for each.
func TestMessagesAreWrittenAsTheyAre(t *testing.T) {
	for format, want := range map[string]string{
		"ndjson":     "{\"x\":1}\n{\"x\":2}\n{\"x\":3}\n",
		"json_array": "[{\"x\":1},{\"x\":2}]\n[{\"x\":3}]\n",
	} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in.ndjson"), filepath.Join(dir, "out.ndjson")
		if err := os.WriteFile(in, []byte("{\"x\":1}\n{\"x\":2}\n{\"x\":3}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		p, list := flow.Compile("f.yaml", []byte(`
source: {file: {path: "`+in+`"}}
stages: [{batch: {size: 2, as: message, format: `+format+`}}]
sinks: [{file: {path: "`+out+`"}}, {stdout: {}}]
`), flow.Options{Registry: stages.All()})
		if p == nil {
			t.Fatal(list.Err())
		}
		runtimeOut := p.Sinks[1].Spec.New
		p.Sinks[1].Spec.New = func(rt stage.Runtime) stage.Sink {
			rt.Stdout = &printed
			return runtimeOut(rt)
		}
		if err := engine.New(engine.Config{}).Start(p).Wait(); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(out)
		if err != nil || string(written) != want || string(written) != printed.String() {
			t.Errorf("%s: file has %q (%v), stdout %q, want %q", format, written, err, printed.String(), want)
		}
	}
}
