package record

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// wellFormed is what Project must accept, by encoding/json.
func wellFormed(doc []byte) bool {
	if !json.Valid(doc) || !utf8.Valid(doc) || !strings.HasPrefix(strings.TrimLeft(string(doc), " \t\r\n"), "{") {
		return false
	}
	d := json.NewDecoder(strings.NewReader(string(doc)))
	d.UseNumber() // otherwise 1e400 is an error
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return true
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return false
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

var watched = []string{`a`, `a.b`, `a.a`, `b[0]`, `b[1].a`, `b[1].b[2]`, `b`, `["odd name"]`, `größe`, `["12345678"]`,
	`longer_than_a_word`, `longer_than_a_word2.a`, `a["q\"\\\n"]`, `[""]`, `[""][""]`, `a.b.größe`}

// requireProjection checks a document against encoding/json.
func requireProjection(t require, doc string, l *Layout) {
	t.Helper()
	fields := make([]Value, l.Len())
	err := NewProjector(l).Project([]byte(doc), fields)
	want := wellFormed([]byte(doc))
	if want != (err == nil) {
		t.Fatalf("%q: got error %v, want success: %v", doc, err, want)
	}
	if err != nil {
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset > len(doc) {
			t.Fatalf("%q: odd error %#v", doc, err)
		}
		return
	}
	root := decode(t, doc)
	for i := range l.Len() {
		path := l.Path(Slot(i))
		requireValue(t, path.String()+" of "+doc, fields[i], lookup(root, path))
		requireValue(t, path.String()+" alone of "+doc, ProjectValue(doc, path), lookup(root, path))
	}
}

func TestProjectedValuesAreThoseOfEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLayout()
		for _, p := range rapid.SliceOfN(genPath, 0, 8).Draw(t, "paths") {
			l.Slot(p)
		}
		requireProjection(t, genDocument.Draw(t, "doc"), l)
	})
}

func TestProjectAcceptsWhatEncodingJSONAccepts(t *testing.T) {
	l := layoutOf(t, watched...)
	rapid.Check(t, func(t *rapid.T) {
		doc := []byte(genDocument.Draw(t, "doc"))
		for range rapid.IntRange(1, 3).Draw(t, "faults") {
			i := rapid.IntRange(0, max(0, len(doc)-1)).Draw(t, "at")
			c := rapid.SampledFrom([]byte("\"\\{}[]:,-+.eEu019 \n\x00\x1f\x7f\x80\xc3\xe2\xf4\xfftn")).Draw(t, "byte")
			switch rapid.IntRange(0, 3).Draw(t, "fault") {
			case 0:
				doc = doc[:i]
			case 1:
				doc = append(doc[:i:i], append([]byte{c}, doc[i:]...)...)
			case 2:
				if i < len(doc) {
					doc[i] = c
				}
			case 3:
				if i < len(doc) {
					doc = append(doc[:i:i], doc[i+1:]...)
				}
			}
		}
		requireProjection(t, string(doc), l)
	})
}

// Every byte at every place of a string: the word-wise scan has an edge at
// each of them.
func TestStringsOfEveryLengthAndByte(t *testing.T) {
	l := layoutOf(t, "a")
	p, fields := NewProjector(l), make([]Value, 1)
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				content := []byte(strings.Repeat("x", length))
				content[at] = byte(c)
				for _, doc := range []string{`{"a":"` + string(content) + `"}`, `{"` + string(content) + `":1,"a":"y"} `} {
					fields[0] = Value{}
					err := p.Project([]byte(doc), fields)
					if wellFormed([]byte(doc)) != (err == nil) {
						t.Fatalf("%q: %v", doc, err)
					}
				}
			}
		}
	}
}

func TestDepthIsLimited(t *testing.T) {
	l := layoutOf(t, "a")
	for depth := maxDepth - 1; depth <= maxDepth+1; depth++ {
		requireProjection(t, strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth), l)
		requireProjection(t, `{"a":`+strings.Repeat("[", depth-1)+strings.Repeat("]", depth-1)+"}", l)
		requireProjection(t, `{"b":`+strings.Repeat("[", depth-1)+strings.Repeat("]", depth-1)+"}", l)
	}
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{"", "malformed JSON at byte 0: the document is empty"},
		{"  ", "malformed JSON at byte 2: the document is empty"},
		{`[1, 2]`, "expected a JSON object, got an array"},
		{`"x"`, "expected a JSON object, got a string"},
		{` -1 `, "expected a JSON object, got a number"},
		{`null`, "expected a JSON object, got null"},
		{`true`, "expected a JSON object, got a boolean"},
		{`[1,]`, "malformed JSON at byte 3: expected a value"},
		{`hello`, "malformed JSON at byte 0: expected a value"},
		{`{"a" 1}`, "malformed JSON at byte 5: expected ':' after an object key"},
		{`{"a":1 "b":2}`, "malformed JSON at byte 7: expected ',' or '}' after a value"},
		{`{"a":1,}`, "malformed JSON at byte 7: expected a key in quotes"},
		{`{"a":1`, "malformed JSON at byte 6: expected ',' or '}' after a value, got the end of the document"},
		{`{"a":"xyz`, "malformed JSON at byte 9: a string is not closed"},
		{`{"a":01}`, "malformed JSON at byte 5: a number must not start with 0"},
		{`{"a":1.}`, "malformed JSON at byte 7: expected a digit behind the decimal point"},
		{`{"a":tru}`, "malformed JSON at byte 8: expected true"},
		{`{"a":1} x`, "malformed JSON at byte 8: unexpected data behind the document"},
		{"{\"a\":\"x\ny\"}", "malformed JSON at byte 7: a control character in a string must be escaped"},
		{"{\"a\":\"x\xffy\"}", "malformed JSON at byte 7: invalid UTF-8"},
		{`{"a":"\x"}`, "malformed JSON at byte 7: unknown escape in a string"},
		{`{"a":"\u12G4"}`, `malformed JSON at byte 10: expected four hexadecimal digits behind \u`},
		{`{"a":` + strings.Repeat("[", 600), "malformed JSON at byte 516: it is nested deeper than 512 levels"},
	} {
		l := layoutOf(t, "b")
		err := NewProjector(l).Project([]byte(tt.doc), make([]Value, 1))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.40q: got %q, want %q", tt.doc, err, tt.want)
		}
	}
}

func TestALaterEqualKeyReplacesAllOfTheFormer(t *testing.T) {
	l := layoutOf(t, "a", "a.b", "a.c[1]")
	for doc, want := range map[string]string{
		`{"a":{"b":1,"c":[1,2]},"a":3}`:            `3, null, null`,
		`{"a":{"b":1,"c":[1,2]},"\u0061":{"b":2}}`: `{"b":2}, 2, null`,
		`{"a":{"c":[1,2],"c":[3]}}`:                `{"c":[1,2],"c":[3]}, null, null`,
		`{"a":[1],"a":{"b":null,"c":[0,{}]}}`:      `{"b":null,"c":[0,{}]}, null, {}`,
	} {
		fields := make([]Value, 3)
		if err := NewProjector(l).Project([]byte(doc), fields); err != nil {
			t.Fatal(err)
		}
		got := string(AppendValue(nil, fields[0])) + ", " + string(AppendValue(nil, fields[1])) + ", " + string(AppendValue(nil, fields[2]))
		if got != want {
			t.Errorf("%s: got %s, want %s", doc, got, want)
		}
	}
}

func TestProjectDoesNotAllocate(t *testing.T) {
	l := layoutOf(t, "sensor_id", "reading", "timestamp", "nested.a.b[1]", "title", "n")
	p, fields := NewProjector(l), make([]Value, l.Len())
	for _, doc := range [][]byte{[]byte(reading), []byte(unusual)} {
		if n := testing.AllocsPerRun(100, func() {
			if err := p.Project(doc, fields); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%.20s: %v allocations", doc, n)
		}
	}
}

func TestManyPathsAreFound(t *testing.T) {
	l := NewLayout()
	var doc strings.Builder
	for i := range 300 {
		name := strings.Repeat("k", i%40) + string(rune('A'+i%26)) + strings.Repeat("z", i/26)
		l.Slot(Path{{Key: name}})
		if i > 0 {
			doc.WriteByte(',')
		}
		doc.WriteString(key(name) + "1")
	}
	requireProjection(t, "{"+doc.String()+"}", l)
}

func FuzzProject(f *testing.F) {
	f.Add(reading)
	f.Add(unusual)
	l := layoutOf(f, watched...)
	f.Fuzz(func(t *testing.T, doc string) { requireProjection(t, doc, l) })
}

// The corpus is committed; this keeps it small and present.
func TestCorporaAreSmall(t *testing.T) {
	files, _ := filepath.Glob("testdata/fuzz/*/*")
	if len(files) == 0 {
		t.Fatal("no corpus")
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > 4096 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
