package record

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// setIn and dropIn are the oracles of SetPath and DropPath.
func setIn(x any, p Path, v any) (any, bool) {
	if len(p) == 0 {
		return v, true
	}
	var ok bool
	switch y := x.(type) {
	case nil, missing:
		return setIn(map[string]any{}, p, v)
	case map[string]any:
		if p[0].List {
			return nil, false
		}
		inner, there := y[p[0].Key]
		if !there {
			inner = missing{}
		}
		y[p[0].Key], ok = setIn(inner, p[1:], v)
		return y, ok
	case []any:
		if !p[0].List || p[0].Index >= len(y) {
			return nil, false
		}
		y[p[0].Index], ok = setIn(y[p[0].Index], p[1:], v)
		return y, ok
	}
	return nil, false
}

func dropIn(x any, p Path) any {
	switch y := x.(type) {
	case map[string]any:
		if p[0].List {
			break
		}
		if inner, ok := y[p[0].Key]; ok && len(p) > 1 {
			y[p[0].Key] = dropIn(inner, p[1:])
		} else {
			delete(y, p[0].Key)
		}
	case []any:
		if !p[0].List || p[0].Index >= len(y) {
			break
		}
		i := p[0].Index
		if len(p) > 1 {
			y[i] = dropIn(y[i], p[1:])
			break
		}
		return append(y[:i:i], y[i+1:]...)
	}
	return x
}

var genRoot = rapid.Custom(func(t *rapid.T) Value {
	if rapid.IntRange(0, 9).Draw(t, "missing") == 0 {
		return Value{}
	}
	return ProjectValue(genJSON(4).Draw(t, "root"), nil)
})

func TestSetPathSetsWhatADecodedDocumentWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, path := genRoot.Draw(t, "root"), Path(rapid.SliceOfN(genStep, 1, 4).Draw(t, "path"))
		v := ProjectValue(genJSON(1).Draw(t, "value"), nil)
		var decoded any = missing{}
		if root.Kind() != Missing {
			decoded = decode(t, string(AppendValue(nil, root)))
		}
		before := string(AppendValue(nil, root))
		want, ok := setIn(decoded, path, decode(t, string(AppendValue(nil, v))))
		got, err := SetPath(root, path, v)
		if ok != (err == nil) {
			t.Fatalf("%s in %s: error %v, want success: %v", path, before, err, ok)
		}
		if string(AppendValue(nil, root)) != before {
			t.Fatalf("the root was changed")
		}
		if err != nil {
			return
		}
		if text := got.JSON(); !json.Valid([]byte(text)) || !reflect.DeepEqual(decode(t, text), want) {
			t.Fatalf("%s in %s: got %s, want %v", path, before, text, want)
		}
		if back := ProjectValue(got.JSON(), path); string(AppendValue(nil, back)) != string(AppendValue(nil, v)) {
			t.Fatalf("%s in %s: got %s, set %s", path, got.JSON(), AppendValue(nil, back), AppendValue(nil, v))
		}
		if old := ProjectValue(before, path); old.Kind() != Missing {
			// Put back what was there, and every byte is as before.
			again, err := SetPath(got, path, old)
			if err != nil || again.JSON() != root.JSON() {
				t.Fatalf("%s: got %s (%v), want %s", path, again.JSON(), err, before)
			}
		}
	})
}

func TestDropPathDropsWhatADecodedDocumentWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, path := genRoot.Draw(t, "root"), Path(rapid.SliceOfN(genStep, 1, 4).Draw(t, "path"))
		if root.Kind() == Missing {
			return
		}
		before := string(AppendValue(nil, root))
		want := dropIn(decode(t, before), path)
		got := string(AppendValue(nil, DropPath(root, path)))
		if !json.Valid([]byte(got)) || !reflect.DeepEqual(decode(t, got), want) {
			t.Fatalf("%s in %s: got %s, want %v", path, before, got, want)
		}
	})
}

func TestPathEditsKeepOtherBytes(t *testing.T) {
	const root = `{ "a" : 1.50 , "b": [ 1, {"x":"\u0041"} ], "a":2 }`
	for _, tt := range []struct{ path, set, drop string }{
		{"a", `{ "a" : 1.50 , "b": [ 1, {"x":"\u0041"} ], "a":"v" }`, `{ "b": [ 1, {"x":"\u0041"} ] }`},
		{"b[0]", `{ "a" : 1.50 , "b": [ "v", {"x":"\u0041"} ], "a":2 }`, `{ "a" : 1.50 , "b": [ {"x":"\u0041"} ], "a":2 }`},
		{"b[1].x", `{ "a" : 1.50 , "b": [ 1, {"x":"v"} ], "a":2 }`, `{ "a" : 1.50 , "b": [ 1, {} ], "a":2 }`},
		{"b[1].y.z", `{ "a" : 1.50 , "b": [ 1, {"x":"\u0041","y":{"z":"v"}} ], "a":2 }`, root},
		{"c", `{ "a" : 1.50 , "b": [ 1, {"x":"\u0041"} ], "a":2,"c":"v" }`, root},
		{"b", `{ "a" : 1.50 , "b": "v", "a":2 }`, `{ "a" : 1.50, "a":2 }`},
	} {
		path := layoutOf(t, tt.path).Path(0)
		got, err := SetPath(MapValue(root), path, StringValue("v"))
		if err != nil || got.JSON() != tt.set {
			t.Errorf("set %s: got %s (%v), want %s", path, got.JSON(), err, tt.set)
		}
		if got := DropPath(MapValue(root), path); got.JSON() != tt.drop {
			t.Errorf("drop %s: got %s, want %s", path, got.JSON(), tt.drop)
		}
	}
}

func TestPathEditErrors(t *testing.T) {
	for _, tt := range []struct{ root, path, want string }{
		{`1`, `a`, "set a: the value is an int"},
		{`{"a":"x"}`, `a.b`, "set a.b: a is a string"},
		{`{"a":[1]}`, `a.b`, "set a.b: a is a list"},
		{`{"a":[1]}`, `a[1]`, "set a[1]: position 1 does not exist in a list of 1"},
		{`{"a":{}}`, `a[0]`, "set a[0]: a is a map"},
		{`null`, `a[0]`, "set a[0]: position 0 does not exist in a list of 0"},
	} {
		_, err := SetPath(ProjectValue(tt.root, nil), layoutOf(t, tt.path).Path(0), NullValue())
		if err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestRefreshReadsWhatIsInsideAWrittenField(t *testing.T) {
	l := layoutOf(t, "a", "a.b", "a.c[0]", "b", "d.x")
	r := Record{Payload: []byte(`{"a":{"b":1},"b":2}`), Fields: make([]Value, l.Len())}
	if err := NewProjector(l).Project(r.Payload, r.Fields); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		v    Value
		b, c string
	}{
		{MapValue(`{"c":[5]}`), "", "5"},
		{MapValue(`{"b":"x","c":{}}`), "x", ""},
		{IntValue(1), "", ""},
		{NullValue(), "", ""},
	} {
		r.Set(0, tt.v, l.Len())
		Refresh(&r, l, "a", l.Within("a"))
		if r.Field(1).Text() != tt.b || r.Field(2).Text() != tt.c || r.Field(3).Int() != 2 {
			t.Errorf("after %s: %v", AppendValue(nil, tt.v), r.Fields)
		}
	}
}
