package record

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pair is a key of an ordered document, the oracle of the edits.
type pair struct {
	key   string
	value Value
}

func without(doc []pair, name string) []pair {
	return slices.DeleteFunc(slices.Clone(doc), func(p pair) bool { return p.key == name })
}

func set(doc []pair, name string, v Value) []pair {
	return replace(doc, name, name, v)
}

// replace takes to for the first pair called from and removes others of both names.
func replace(doc []pair, from, to string, v Value) []pair {
	var out []pair
	done := false
	for _, p := range doc {
		switch {
		case p.key == from && !done:
			out = append(out, pair{to, v})
			done = true
		case p.key != from && p.key != to:
			out = append(out, p)
		}
	}
	if !done {
		out = append(out, pair{to, v})
	}
	return out
}

// pairs reads the top level of a document with encoding/json.
func pairs(t require, doc string) []pair {
	d := json.NewDecoder(strings.NewReader(doc))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%q: %v", doc, err)
	}
	var out []pair
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		out = append(out, pair{name.(string), ProjectValue(string(raw), nil)})
	}
	return out
}

func written(doc []pair) string {
	var out []byte
	for _, p := range doc {
		if p.value.Kind() == Missing {
			continue
		}
		out = append(appendQuoted(out, p.key), ':')
		out = append(AppendValue(out, p.value), '\n')
	}
	return string(out)
}

func TestEditsAreThoseOfAnOrderedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := genDocument.Draw(t, "doc")
		r := Record{Payload: []byte(doc)}
		want := pairs(t, doc)
		seen := []*Shape{nil}
		for range rapid.IntRange(1, 8).Draw(t, "edits") {
			name, to := genKey.Draw(t, "name"), genKey.Draw(t, "to")
			slot, v := Slot(len(r.Fields)), genValue.Draw(t, "value")
			if rapid.IntRange(0, 5).Draw(t, "missing") == 0 {
				v = Value{}
			}
			r.Fields = append(r.Fields, v)
			before := r.Shape
			switch rapid.IntRange(0, 4).Draw(t, "edit") {
			case 0, 1:
				r.Shape, want = r.Shape.Set(name, slot), set(want, name, v)
			case 2:
				r.Shape, want = r.Shape.Drop(name), without(want, name)
			case 3:
				r.Shape, want = r.Shape.Rename(name, to, slot), replace(want, name, to, v)
			case 4:
				if rapid.IntRange(0, 3).Draw(t, "select") > 0 {
					break
				}
				r.Shape, want = r.Shape.Select([]ShapeField{{name, slot}, {to, slot}}), set([]pair{{name, v}}, to, v)
			}
			if before != r.Shape {
				seen = append(seen, r.Shape)
			}
			got := AppendJSON([]byte("x"), &r)[1:]
			if len(seen) == 1 {
				continue
			}
			if !json.Valid(got) || written(pairs(t, string(got))) != written(want) {
				t.Fatalf("%q\nis written as\n%s\nwant\n%s", doc, got, written(want))
			}
			if bytes.ContainsAny(got, "\r\n") && !strings.ContainsAny(doc, "\r\n") && !strings.Contains(string(got), "\n") {
				t.Fatalf("a newline came from nowhere: %q", got)
			}
			line := AppendLine(nil, &r)
			if bytes.IndexByte(line, '\n') != len(line)-1 || written(pairs(t, string(line))) == "" && written(want) != "" {
				t.Fatalf("not one line: %q", line)
			}
		}
		for i, s := range seen {
			if !s.Equal(s) || i > 0 && seen[0].Equal(s) {
				t.Fatalf("shape %d: wrong equality", i)
			}
		}
	})
}

func TestUntouchedRecordsKeepTheirBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := genDocument.Draw(t, "doc")
		r := Record{Payload: []byte(doc)}
		if got := AppendJSON(nil, &r); string(got) != doc {
			t.Fatalf("got %q, want %q", got, doc)
		}
	})
}

func TestUntouchedFieldsKeepTheirBytes(t *testing.T) {
	const doc = `{"id" : 1234567890123456789, "x":1.50, "s":"\u0041\/", "x":2, "l": [1,  2]}`
	r := Record{Payload: []byte(doc), Fields: []Value{IntValue(7)}}
	for _, tt := range []struct {
		shape *Shape
		want  string
	}{
		{(*Shape)(nil).Set("x", 0), `{"id" : 1234567890123456789,"x":7,"s":"\u0041\/","l": [1,  2]}`},
		{(*Shape)(nil).Set("y", 0), `{"id" : 1234567890123456789,"x":1.50,"s":"\u0041\/","x":2,"l": [1,  2],"y":7}`},
		{(*Shape)(nil).Rename("id", "key", 0), `{"key":7,"x":1.50,"s":"\u0041\/","x":2,"l": [1,  2]}`},
		{(*Shape)(nil).Rename("id", "s", 0), `{"s":7,"x":1.50,"x":2,"l": [1,  2]}`},
		{(*Shape)(nil).Rename("id", "key", 0).Rename("key", "id", 0), `{"id":7,"x":1.50,"s":"\u0041\/","x":2,"l": [1,  2]}`},
		{(*Shape)(nil).Drop("x").Set("x", 0), `{"id" : 1234567890123456789,"s":"\u0041\/","l": [1,  2],"x":7}`},
		{(*Shape)(nil).Set("x", 1), `{"id" : 1234567890123456789,"s":"\u0041\/","l": [1,  2]}`},
		{NewShape(ShapeField{"b", 0}, ShapeField{"none", 1}, ShapeField{`q"`, 0}), `{"b":7,"q\"":7}`},
		{NewShape(), `{}`},
	} {
		r.Shape = tt.shape
		if got := string(AppendJSON(nil, &r)); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestALineHasOneNewline(t *testing.T) {
	r := Record{Payload: []byte("{\r\n  \"a\": \"x\\n\",\n  \"b\": [\n1]\n}\n")}
	if got, want := string(AppendLine([]byte("before\n"), &r)), "before\n{  \"a\": \"x\\n\",  \"b\": [1]}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(AppendLine(nil, &Record{})); got != "{}\n" {
		t.Errorf("a record of nothing is written as %q", got)
	}
}

func TestShapesWithManyFields(t *testing.T) {
	var s *Shape
	r := Record{Payload: []byte(reading)}
	var want []string
	for i := range 300 {
		name := "f" + strings.Repeat("x", i)
		s = s.Set(name, Slot(i))
		r.Fields = append(r.Fields, IntValue(int64(i)))
		want = append(want, name)
	}
	r.Shape = s
	got := pairs(t, string(AppendJSON(nil, &r)))
	if len(got) != 305 || got[5].key != want[0] || got[304].key != want[299] || got[304].value.Int() != 299 {
		t.Errorf("got %v", got)
	}
}

func TestShapesThatAreEqual(t *testing.T) {
	var none *Shape
	a := none.Set("a", 1).Drop("b")
	if !a.Equal(none.Drop("b").Set("a", 1)) || a.Equal(none.Set("a", 2).Drop("b")) || a.Equal(nil) || none.Equal(NewShape()) {
		t.Error("wrong equality")
	}
	if !none.Equal(nil) || !NewShape().Equal(a.Select(nil)) {
		t.Error("equal shapes differ")
	}
}
