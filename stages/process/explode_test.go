package process

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
)

func TestExplode(t *testing.T) {
	tests := []struct {
		name      string
		steps     []string
		in        []string
		out, dead []string
	}{
		{
			name:  "the element takes the place of the list",
			steps: []string{`explode: items`},
			in:    []string{`{"id":1,"items":[ 1.0 , "a,]", {"x":[1,2]},[3],null],"z":2}`, `{"id":2}`, `{"id":3,"items":[]}`, `{"id":4,"items":null}`},
			out: []string{`{"id":1,"items":1.0,"z":2}`, `{"id":1,"items":"a,]","z":2}`, `{"id":1,"items":{"x":[1,2]},"z":2}`,
				`{"id":1,"items":[3],"z":2}`, `{"id":1,"items":null,"z":2}`},
		},
		{
			name:  "the element gets a name, and what is inside it can be read",
			steps: []string{`explode: {field: items, as: item}`, `set: {x: "item.x", old: "items == nil"}`},
			in:    []string{`{"items":[{"x":1},{"x":2}],"item":"gone"}`},
			out:   []string{`{"item":{"x":1},"x":1,"old":true}`, `{"item":{"x":2},"x":2,"old":true}`},
		},
		{
			name:  "a list inside a field",
			steps: []string{`explode: order.items`},
			in:    []string{`{"order":{"id":1,"items":[1,2]}}`},
			out:   []string{`{"order":{"id":1,"items":1}}`, `{"order":{"id":1,"items":2}}`},
		},
		{
			name:  "a list inside a field, with a name",
			steps: []string{`explode: {field: order.items, as: item}`},
			in:    []string{`{"order":{"id":1,"items":[1,2]},"z":1}`},
			out:   []string{`{"order":{"id":1},"z":1,"item":1}`, `{"order":{"id":1},"z":1,"item":2}`},
		},
		{
			name:  "elements become the records",
			steps: []string{`explode: {field: items, keep_parent: false}`, `set: {y: "x + 1"}`},
			in:    []string{`{"x":5,"items":[{"x": 1},{"x":2}]}`, `{"items":[{"x":1},7]}`},
			out:   []string{`{"x": 1,"y":2}`, `{"x":2,"y":3}`},
			dead:  []string{`{"items":[{"x":1},7]} explode: items[1] is an int, not an object that could be a record`},
		},
		{
			name:  "only the named element",
			steps: []string{`explode: {field: items, as: item, keep_parent: false}`},
			in:    []string{`{"x":5,"items":[{"x":1},7]}`},
			out:   []string{`{"item":{"x":1}}`, `{"item":7}`},
		},
		{
			name:  "on_empty keep",
			steps: []string{`explode: {field: items, as: item, on_empty: keep}`, `set: {n: "item == nil"}`},
			in:    []string{`{"x":1,"items":[]}`, `{"x":2}`},
			out:   []string{`{"x":1,"item":null,"n":true}`, `{"x":2,"item":null,"n":true}`},
		},
		{
			name:  "no list, and too long a list",
			steps: []string{`explode: {field: items, max: 2}`},
			in:    []string{`{"items":"a"}`, `{"items":[1,2,3]}`, `{"items":[1,2]}`},
			out:   []string{`{"items":1}`, `{"items":2}`},
			dead: []string{
				`{"items":"a"} explode: items is a string, not a list`,
				`{"items":[1,2,3]} explode: items has more than 2 elements, the maximum`,
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, dead := through(t, test.steps, test.in...)
			equal(t, "records", out, test.out)
			equal(t, "dead letters", dead, test.dead)
		})
	}
}

func TestExplodedRecordsComeFromTheirDelivery(t *testing.T) {
	b := newBench().mustAdd(t, `explode: items`).start(2)
	in := b.batch(t, 7, `{"items":[1,2,3]}`, `{"items":[]}`, `{"items":5}`)
	in.Records[0].Key, in.Records[0].Hash = "k", 9
	n := 0
	for _, out := range b.run(t, in) {
		for _, r := range out.Records {
			n++
			if r.Key != "k" || r.Hash != 9 || r.Time != 7 || r.Watermark != 7 || r.Origin.Seq != 1 {
				t.Errorf("got %+v", r)
			}
		}
	}
	c := b.counts[0]
	if n != 3 || c.Emitted != 3 || c.Absorbed != 1 || c.Filtered != 1 || c.Dead != 1 || c.Passed != 0 {
		t.Errorf("%d records, counts %+v", n, c)
	}
}

func TestElementsAreThoseThatJSONHas(t *testing.T) {
	alphabet := rapid.SampledFrom([]string{`"`, `\`, "[", "]", "{", "}", ",", " ", "a", "é", "\n"})
	value := rapid.Custom(func(t *rapid.T) any { return drawJSON(t, alphabet, 3) })
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(value, 0, 6).Draw(t, "list")
		var text []byte
		if rapid.Bool().Draw(t, "indented") {
			text, _ = json.MarshalIndent(list, " ", "\t")
		} else {
			text, _ = json.Marshal(list)
		}
		var want []json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		got := elements(nil, record.ListValue(string(text)), 5)
		want = want[:min(len(want), 5)]
		same := slices.EqualFunc(got, want, func(v record.Value, raw json.RawMessage) bool {
			return record.Equal(v, record.ProjectValue(string(raw), nil)) && v.Kind() == record.ProjectValue(string(raw), nil).Kind()
		})
		if !same {
			t.Fatalf("elements of %s: got %v, want %s", text, got, want)
		}
	})
}

func drawJSON(t *rapid.T, alphabet *rapid.Generator[string], depth int) any {
	text := func(name string) string {
		return strings.Join(rapid.SliceOfN(alphabet, 0, 5).Draw(t, name), "")
	}
	most := 5
	if depth == 0 {
		most = 3
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return rapid.Float64Range(-1e6, 1e6).Draw(t, "number")
	case 1:
		return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "word")
	case 2, 3:
		return text("text")
	case 4:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			list = append(list, drawJSON(t, alphabet, depth-1))
		}
		return list
	default:
		m := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			m[text("key")] = drawJSON(t, alphabet, depth-1)
		}
		return m
	}
}
