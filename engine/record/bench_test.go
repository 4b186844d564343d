package record

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
)

const reading = `{"device_id":"device_3","line_id":"line_1","reading":71.234,"sensor_id":"sensor_000123","timestamp":"2024-05-01T12:00:00.000Z"}`

// unusual is longer and has what the fast paths do not like.
const unusual = `{ "title": "Größe der \u00c4pfel", "tags": ["a", {"x": -1.5e-7}], "n": 12345678901234567890,
 "nested": {"a": {"b": [1, 2, 3]}, "text": "line\nbreak \"quoted\""}, "none": null, "ok": true }`

func layoutOf(t testing.TB, paths ...string) *Layout {
	t.Helper()
	l := NewLayout()
	for _, p := range paths {
		path, err := ParsePath(p)
		if err != nil {
			t.Fatal(err)
		}
		l.Slot(path)
	}
	return l
}

func BenchmarkProject(b *testing.B) {
	for _, bm := range []struct {
		name, doc string
		paths     []string
	}{
		{"reading", reading, []string{"sensor_id", "reading", "timestamp"}},
		{"validate", reading, nil},
		{"unusual", unusual, []string{"title", "nested.a.b[1]", "n"}},
		{"long", `{"x":1,"text":"` + strings.Repeat("lorem ipsum ", 300) + `"}`, []string{"x"}},
		{"utf8", `{"x":1,"text":"` + strings.Repeat("величина ", 300) + `"}`, []string{"x"}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			l := layoutOf(b, bm.paths...)
			p := NewProjector(l)
			doc, fields := []byte(bm.doc), make([]Value, l.Len())
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				clear(fields)
				if err := p.Project(doc, fields); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFastjson reads the same three fields, for comparison. (fastjson
// checks less: it accepts invalid UTF-8 and control characters.)
func BenchmarkFastjson(b *testing.B) {
	var p fastjson.Parser
	b.SetBytes(int64(len(reading)))
	b.ReportAllocs()
	doc := []byte(reading)
	for b.Loop() {
		v, err := p.ParseBytes(doc)
		if err != nil {
			b.Fatal(err)
		}
		_, _, _ = v.GetStringBytes("sensor_id"), v.GetFloat64("reading"), v.GetStringBytes("timestamp")
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	b.SetBytes(int64(len(reading)))
	b.ReportAllocs()
	for b.Loop() {
		var m map[string]any
		if err := json.Unmarshal([]byte(reading), &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	l := layoutOf(b, "sensor_id", "reading", "timestamp", "celsius")
	p := NewProjector(l)
	r := Record{Payload: []byte(reading), Fields: make([]Value, l.Len())}
	if err := p.Project(r.Payload, r.Fields); err != nil {
		b.Fatal(err)
	}
	r.Fields[3] = FloatValue(21.796666666666667)
	var none *Shape
	for _, bm := range []struct {
		name  string
		shape *Shape
	}{
		{"untouched", nil},
		{"set_one", none.Set("celsius", 3)},
		{"select", NewShape(ShapeField{"sensor_id", 0}, ShapeField{"reading", 1}, ShapeField{"timestamp", 2})},
	} {
		b.Run(bm.name, func(b *testing.B) {
			r.Shape = bm.shape
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendJSON(dst[:0], &r)
			}
		})
	}
}

func BenchmarkKey(b *testing.B) {
	v := StringValue("sensor_000123")
	var dst []byte
	var sum uint64
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendKey(dst[:0], v)
		sum += Hash(dst)
	}
}

func BenchmarkParseTime(b *testing.B) {
	for _, bm := range []struct {
		name string
		v    Value
	}{
		{"rfc3339", StringValue("2024-05-01T12:00:00.000Z")},
		{"unix_ms", IntValue(1714564800000)},
		{"float", FloatValue(1714564800.125)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseTime(bm.v, "auto"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCSVRow(b *testing.B) {
	c, err := NewCSV([]string{"device_id", "line_id", "reading", "sensor_id", "timestamp"}, ',', nil)
	if err != nil {
		b.Fatal(err)
	}
	line := []byte("device_3,line_1,71.234,sensor_000123,2024-05-01T12:00:00.000Z")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = c.Row(dst[:0], line); err != nil {
			b.Fatal(err)
		}
	}
}
