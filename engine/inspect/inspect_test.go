package inspect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/inspect"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// states are those of a flow with two stages, of which one explains itself.
func states() []plan.State {
	return []plan.State{{Name: "w", Kind: "window", Signature: "10s", Upstream: "u"}, {Name: "d", Kind: "dedupe", Signature: "by id"}}
}

func planOf() *plan.Plan {
	op := func(name, kind, signature string, explain func(string, []byte) ([]byte, error)) plan.Node {
		return &plan.Operator{Name: name, Kind: kind, Spec: stage.OperatorSpec{
			Stateful: true, Signature: signature, Explain: explain, New: func() stage.Operator { return texts{} },
		}}
	}
	return &plan.Plan{Nodes: []plan.Node{op("w", "window", "10s", func(_ string, v []byte) ([]byte, error) {
		if string(v) == "bad" {
			panic("bad")
		}
		return json.Marshal(map[string]string{"text": string(v)})
	}), op("d", "dedupe", "by id", nil)}}
}

// texts takes every value but "bad".
type texts struct{}

func (texts) Process(*stage.Context, *record.Record) stage.Verdict { return stage.Pass }
func (texts) Snapshot(stage.StateWriter)                           {}
func (texts) Restore(_ string, value []byte) error {
	if string(value) == "bad" {
		return errors.New("it is bad")
	}
	return nil
}

// store has some state of a flow.
func store(t testing.TB, w map[string]string) *checkpoint.Memory {
	t.Helper()
	s := checkpoint.NewMemory()
	d := &checkpoint.Delta{Stage: "w"}
	for key, value := range w {
		d.Put(key, []byte(value))
	}
	other := &checkpoint.Delta{Stage: "d"}
	other.Put("7", []byte("seven"))
	text, err := json.Marshal(inspect.Version{States: states()})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Commit(checkpoint.Commit{
		Flow: "f", Epoch: 9, Now: 5e9, Deltas: []*checkpoint.Delta{d, other},
		Positions: map[string]checkpoint.Position{"s": {Bytes: []byte{0, 255}, Watermark: 3e9}, "q": {Watermark: record.MinTime}},
		Control:   []checkpoint.Change{{Key: inspect.ControlVersion, Value: text}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func view(s checkpoint.Store) *inspect.View {
	return &inspect.View{Flow: "f", Store: s, States: states(), Plan: planOf()}
}

// content is all that a store has of the flow.
func content(t testing.TB, s checkpoint.Store, flow string) string {
	t.Helper()
	last, ok, err := s.Last(flow)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{fmt.Sprint(ok, last.Now, last.Epoch, last.Positions)}
	for _, one := range states() {
		err := s.State(flow, one.Name, func(key string, value []byte) error {
			lines = append(lines, fmt.Sprintf("%s %q %q", one.Name, key, value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func drawState(t *rapid.T, name string) map[string]string {
	key := rapid.Custom(func(t *rapid.T) string {
		return string(record.AppendKey(nil, record.StringValue(rapid.String().Draw(t, "part")), record.IntValue(rapid.Int64().Draw(t, "number"))))
	})
	return rapid.MapOfN(key, rapid.SampledFrom([]string{"", "x", "\x00\xff\xfe"}), 0, 8).Draw(t, name)
}

// TestWhatIsExportedIsImportedAsItWas: into an empty store, and over other
// state, merged and replaced.
func TestWhatIsExportedIsImportedAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from, there := drawState(rt, "from"), drawState(rt, "there")
		source := store(t, from)
		var out bytes.Buffer
		if err := view(source).Export("", &out); err != nil {
			rt.Fatal(err)
		}
		file, err := inspect.ReadFile(bytes.NewReader(out.Bytes()))
		if err != nil {
			rt.Fatal(err)
		}
		empty := checkpoint.NewMemory()
		if _, err := (&inspect.View{Flow: "g", Store: empty}).Import(file, inspect.Importing{}); err != nil {
			rt.Fatal(err)
		}
		if got, want := content(t, empty, "g"), content(t, source, "f"); got != want {
			rt.Fatalf("in an empty store\n%s\nwant\n%s", got, want)
		}
		v, ok, err := inspect.VersionOf(empty, "g")
		if err != nil || !ok || !slices.Equal(v.States, states()) {
			rt.Fatalf("what is remembered is %+v, %v", v, err)
		}

		for _, how := range []string{inspect.Merge, inspect.Replace} {
			target := store(t, there)
			done, err := view(target).Import(file, inspect.Importing{How: how, Stage: "w"})
			if err != nil {
				rt.Fatal(err)
			}
			want := maps.Clone(there)
			if how == inspect.Replace {
				want = map[string]string{}
			}
			maps.Copy(want, from)
			if got, want := content(t, target, "f"), content(t, store(t, want), "f"); got != want {
				rt.Fatalf("%s\n%s\nwant\n%s", how, got, want)
			}
			if len(done.Stages) != 1 || done.Stages[0].Written != len(from) || done.Positions {
				rt.Fatalf("%s did %+v", how, done)
			}
		}
	})
}

// TestAFileThatIsNotWholeIsNotTaken cuts a file behind every byte, takes away
// every line, and changes what it says of itself.
func TestAFileThatIsNotWholeIsNotTaken(t *testing.T) {
	var out bytes.Buffer
	if err := view(store(t, map[string]string{`"a"`: "1", `"b"`: "2"})).Export("", &out); err != nil {
		t.Fatal(err)
	}
	whole := out.String()
	for n := range len(whole) - 1 {
		if _, err := inspect.ReadFile(strings.NewReader(whole[:n])); err == nil {
			t.Errorf("cut behind %d of %d bytes it is taken", n, len(whole))
		}
	}
	lines := strings.SplitAfter(whole, "\n")
	for i := range len(lines) - 1 {
		without := slices.Delete(slices.Clone(lines), i, i+1)
		if _, err := inspect.ReadFile(strings.NewReader(strings.Join(without, ""))); err == nil {
			t.Errorf("it is taken without line %d: %s", i+1, lines[i])
		}
	}
	for old, other := range map[string]string{
		`{"telluride_state":1`: `{"telluride_state":2`, `{"end":true`: "{}\n{\"end\":true", `"stage":"d","key"`: `"stage":"w","key"`,
	} {
		if _, err := inspect.ReadFile(strings.NewReader(strings.Replace(whole, old, other, 1))); err == nil {
			t.Errorf("it is taken with %s", other)
		}
	}
	if _, err := inspect.ReadFile(strings.NewReader(whole + lines[0])); err == nil {
		t.Error("it is taken with something behind its end")
	}
	if _, err := inspect.ReadFile(strings.NewReader(strings.Replace(whole, `:1,"flow"`, `:7,"flow"`, 1))); err == nil || !strings.Contains(err.Error(), "format 7") {
		t.Errorf("of another format: %v", err)
	}
}

func TestStateIsShownAsTheStageExplainsIt(t *testing.T) {
	s := store(t, map[string]string{`"a",7`: "one", `"7"`: "text", `7`: "number", ``: "all", `"b"`: "bad"})
	show := func(stage string, key any, limit int) (text string, more bool, err error) {
		q := inspect.Query{Limit: limit}
		if k, ok := key.(string); ok {
			q.Key = &k
		}
		var all []string
		more, err = view(s).Show(stage, q, func(e inspect.Entry) error {
			value := string(e.Value)
			if e.Value == nil {
				value = fmt.Sprintf("%q: %s", e.Raw, e.Problem)
			}
			all = append(all, string(e.Key)+" "+value)
			return nil
		})
		slices.Sort(all)
		return strings.Join(all, "; "), more, err
	}
	for _, c := range []struct {
		key  any
		want string
	}{
		{`["a",7]`, `["a",7] {"text":"one"}`},
		{`["a", 7.0]`, `["a",7] {"text":"one"}`},
		{"7", `["7"] {"text":"text"}; [7] {"text":"number"}`},
		{`"7"`, `["7"] {"text":"text"}`},
		{"", `[] {"text":"all"}`},
		{"b", `["b"] "bad": panic: bad`},
	} {
		if got, _, err := show("w", c.key, 0); got != c.want || err != nil {
			t.Errorf("key %s: %s, %v, want %s", c.key, got, err, c.want)
		}
	}
	if got, more, err := show("w", nil, 3); strings.Count(got, ";") != 2 || !more || err != nil {
		t.Errorf("three of five: %s, %v, %v", got, more, err)
	}
	if _, more, err := show("w", nil, 5); more || err != nil {
		t.Errorf("five of five: %v, %v", more, err)
	}
	if got, _, err := show("d", nil, 0); got != `[7] "seven": its kind does not tell what it means` || err != nil {
		t.Errorf("without an explanation: %s, %v", got, err)
	}
	for stage, key := range map[string]any{"x": nil, "w": "nobody"} {
		var e *inspect.Error
		if _, _, err := show(stage, key, 0); !errors.As(err, &e) || !e.Missing {
			t.Errorf("stage %s, key %v: %v", stage, key, err)
		}
	}
}

func TestDroppingForgetsWhatItNamesAndNothingElse(t *testing.T) {
	all := map[string]string{`"a"`: "1", `"b"`: "2"}
	s := store(t, all)
	a := "a"
	if done, err := view(s).Drop("w", &a); err != nil || done.Stages[0].Dropped != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got, want := content(t, s, "f"), content(t, store(t, map[string]string{`"b"`: "2"}), "f"); got != want {
		t.Errorf("without a:\n%s\nwant\n%s", got, want)
	}
	if done, err := view(s).Drop("w", nil); err != nil || done.Stages[0].Dropped != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got, want := content(t, s, "f"), content(t, store(t, nil), "f"); got != want {
		t.Errorf("without w:\n%s\nwant\n%s", got, want)
	}
	if err := inspect.DropFlow(s, "f"); err != nil {
		t.Fatal(err)
	}
	if flows, err := s.Flows(); len(flows) != 0 || err != nil {
		t.Errorf("it still keeps %v, %v", flows, err)
	}
	if _, err := inspect.Stored(s, "f", nil); err == nil || !strings.Contains(err.Error(), `no flow "f"`) {
		t.Errorf("a flow that is gone: %v", err)
	}
}

func TestAListCountsKeysAndSaysWhereSourcesGoOn(t *testing.T) {
	f, err := view(store(t, map[string]string{`"a"`: "1", `"b"`: "22"})).List()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"flow":"f","epoch":9,"time":"1970-01-01T00:00:05Z","sources":[{"name":"q","position":false},{"name":"s","position":true,"watermark":"1970-01-01T00:00:03Z"}],` +
		`"stages":[{"name":"w","kind":"window","keys":2,"bytes":9},{"name":"d","kind":"dedupe","keys":1,"bytes":6}]}`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func FuzzReadFile(f *testing.F) {
	var out bytes.Buffer
	if err := view(store(f, map[string]string{`"a"`: "1"})).Export("", &out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := inspect.ReadFile(bytes.NewReader(b))
		if err != nil {
			return
		}
		s := checkpoint.NewMemory()
		if _, err := (&inspect.View{Flow: "f", Store: s}).Import(file, inspect.Importing{}); err != nil {
			return
		}
		n := 0
		for _, one := range file.Stages {
			n += len(one.Keys)
		}
		if len(file.Stages) > 0 && n > 0 && strings.Count(content(t, s, "f"), "\n") > n {
			t.Fatalf("more was imported than the file has:\n%s", content(t, s, "f"))
		}
	})
}
