package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The oracle knows documents as ordered maps and the meaning of the steps,
// and nothing of shapes, slots or bytes.

type object struct {
	keys   []string
	values map[string]any // string: JSON of a scalar; *object; absent
}

// absent holds the place of a field that select names and a record lacks: a
// later set puts it there.
type absent struct{}

func newObject() *object { return &object{values: map[string]any{}} }

func (o *object) put(key string, v any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

func (o *object) drop(key string) {
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

func (o *object) get(path []string) (any, bool) {
	v, ok := o.values[path[0]]
	if v == any(absent{}) {
		return nil, false
	}
	if !ok || len(path) == 1 {
		return v, ok
	}
	if in, isObject := v.(*object); isObject {
		return in.get(path[1:])
	}
	return nil, false
}

// set says whether the path does not lead through a scalar.
func (o *object) set(path []string, v any) bool {
	if len(path) == 1 {
		o.put(path[0], v)
		return true
	}
	in, isObject := o.values[path[0]].(*object)
	if !isObject {
		if old, ok := o.values[path[0]]; ok && old != "null" && old != any(absent{}) {
			return false
		}
		in = newObject()
		o.put(path[0], in)
	}
	return in.set(path[1:], v)
}

func (o *object) clone() *object {
	c := newObject()
	for _, k := range o.keys {
		c.put(k, cloned(o.values[k]))
	}
	return c
}

func cloned(v any) any {
	if o, ok := v.(*object); ok {
		return o.clone()
	}
	return v
}

func (o *object) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for _, k := range o.keys {
		if o.values[k] == any(absent{}) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%v", k, o.values[k])
	}
	b.WriteByte('}')
	return b.String()
}

// step is a step as YAML, and what it does to a document; nil: dead letter.
type step struct {
	yaml string
	do   func(*object) *object
}

var names = rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})

func drawPath(t *rapid.T) []string {
	return rapid.SliceOfN(names, 1, 3).Draw(t, "path")
}

func drawValue(t *rapid.T, depth int) any {
	if depth > 0 && rapid.Bool().Draw(t, "object") {
		return drawObject(t, depth-1)
	}
	return rapid.SampledFrom([]string{"1", "-2.50", `"x"`, `"\u00e9\n"`, "null", "true", "1e2", "[1, 2]", "12345678901234567890"}).Draw(t, "scalar")
}

func drawObject(t *rapid.T, depth int) *object {
	o := newObject()
	for _, k := range rapid.SliceOfNDistinct(names, 0, 4, rapid.ID).Draw(t, "keys") {
		o.put(k, drawValue(t, depth))
	}
	return o
}

func drawStep(t *rapid.T) step {
	switch rapid.IntRange(0, 3).Draw(t, "step") {
	case 0:
		return drawSet(t)
	case 1:
		return drawSelect(t)
	case 2:
		return drawDrop(t)
	default:
		return drawRename(t)
	}
}

func drawSet(t *rapid.T) step {
	type field struct{ to, from []string }
	var fields []field
	yaml := "set: {"
	for i, path := range rapid.SliceOfNDistinct(rapid.Custom(drawPath), 1, 3, func(p []string) string { return strings.Join(p, ".") }).Draw(t, "to") {
		from := drawPath(t)
		if i > 0 {
			yaml += ", "
		}
		yaml += fmt.Sprintf("%q: %q", strings.Join(path, "."), strings.Join(from, "?."))
		fields = append(fields, field{path, from})
	}
	return step{yaml + "}", func(o *object) *object {
		for _, f := range fields {
			v, ok := o.get(f.from)
			if !ok {
				v = "null"
			}
			if !o.set(f.to, cloned(v)) {
				return nil
			}
		}
		return o
	}}
}

func drawSelect(t *rapid.T) step {
	last := func(p []string) string { return p[len(p)-1] }
	paths := rapid.SliceOfNDistinct(rapid.Custom(drawPath), 1, 4, last).Draw(t, "select")
	var texts []string
	for _, p := range paths {
		texts = append(texts, strings.Join(p, "."))
	}
	return step{"select: [" + strings.Join(texts, ", ") + "]", func(o *object) *object {
		out := newObject()
		for _, p := range paths {
			v, ok := o.get(p)
			if !ok {
				v = absent{}
			}
			out.put(last(p), cloned(v))
		}
		return out
	}}
}

func drawDrop(t *rapid.T) step {
	paths := rapid.SliceOfN(rapid.Custom(drawPath), 1, 3).Draw(t, "drop")
	var texts []string
	for _, p := range paths {
		texts = append(texts, strings.Join(p, "."))
	}
	return step{"drop_fields: [" + strings.Join(texts, ", ") + "]", func(o *object) *object {
		for _, p := range paths {
			in := any(o)
			if len(p) > 1 {
				in, _ = o.get(p[:len(p)-1])
			}
			if in, ok := in.(*object); ok {
				in.drop(p[len(p)-1])
			}
		}
		return o
	}}
}

func drawRename(t *rapid.T) step {
	from := rapid.SliceOfNDistinct(names, 1, 3, rapid.ID).Draw(t, "from")
	to := make([]string, len(from))
	yaml := "rename: {"
	for i := range from {
		to[i] = names.Filter(func(n string) bool { return n != from[i] }).Draw(t, "to")
		if i > 0 {
			yaml += ", "
		}
		yaml += from[i] + ": " + to[i]
	}
	return step{yaml + "}", func(o *object) *object {
		for i := range from {
			v, ok := o.get(from[i : i+1])
			if !ok {
				continue
			}
			o.drop(to[i])
			o.keys[slices.Index(o.keys, from[i])] = to[i]
			delete(o.values, from[i])
			o.values[to[i]] = v
		}
		return o
	}}
}

func TestStepsInAnyOrderDoWhatTheyDoToOrderedMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		var steps []step
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			// A step over fields that are known not to be there is refused.
			if s := drawStep(t); b.add(s.yaml) {
				steps = append(steps, s)
			}
		}
		b.start(rapid.IntRange(1, 10).Draw(t, "limit"))
		var payloads, want []string
		for range rapid.IntRange(1, 8).Draw(t, "records") {
			o := drawObject(t, 2)
			payloads = append(payloads, o.String())
			for _, s := range steps {
				if o = s.do(o); o == nil {
					break
				}
			}
			if o != nil {
				want = append(want, o.String())
			}
		}
		got := docs(b.run(t, b.batch(t, 1, payloads...)))
		if !slices.Equal(got, want) {
			t.Fatalf("steps %s\npayloads %s\n got %s\nwant %s", yamlOf(steps), payloads, got, want)
		}
		if dead := len(payloads) - len(want); len(b.side) != dead {
			t.Fatalf("got %d dead letters, want %d", len(b.side), dead)
		}
	})
}

func yamlOf(steps []step) (all []string) {
	for _, s := range steps {
		all = append(all, s.yaml)
	}
	return all
}
