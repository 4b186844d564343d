package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// keys are few, so that documents have equal keys and paths find something.
var keys = []string{"a", "b", "", "odd name", "größe", "12345678", "longer_than_a_word", "longer_than_a_word2", "q\"\\\n", "\u2028"}

var numbers = []string{"0", "-0", "1", "-1", "1.0", "1e0", "0.1", "71.234", "-1.5e-7", "1E+2", "9007199254740993",
	"9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809", "12345678901234567890",
	"99999999999999999999999", "1e400", "-1e400", "1e-400", "2.2250738585072014e-308", "0.30000000000000004", "123456789012345678e-5"}

var genKey = rapid.SampledFrom(keys)

// genSpace is mostly no space, as documents have it.
var genSpace = rapid.SampledFrom([]string{"", "", "", "", "", " ", "\n", "\r\n\t  "})

// genString is a JSON string literal, with escapes that need not be.
func genString(content *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteByte('"')
		for _, r := range content.Draw(t, "content") {
			switch {
			case rapid.IntRange(0, 9).Draw(t, "escape") == 0 && r < 0x10000:
				fmt.Fprintf(&b, `\u%04x`, r)
			case r == '"' || r == '\\' || r < ' ':
				fmt.Fprintf(&b, `\u%04X`, r)
			default:
				b.WriteRune(r)
			}
		}
		if rapid.IntRange(0, 19).Draw(t, "odd") == 0 {
			b.WriteString(rapid.SampledFrom([]string{`\ud800`, `\ud83d\ude00`, `\udc00\ud800x`, `\ud800\u0041`, `\/\b\f\n\r\t`, `\ud800\ud800\udc00`}).Draw(t, "tail"))
		}
		b.WriteByte('"')
		return b.String()
	})
}

// genJSON is the text of any value, depth levels deep at most.
func genJSON(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		switch {
		case depth > 0 && kind < 3:
			return genObject(depth-1).Draw(t, "object")
		case depth > 0 && kind < 5:
			var b strings.Builder
			b.WriteString("[" + genSpace.Draw(t, "space"))
			for i := range rapid.IntRange(0, 3).Draw(t, "n") {
				if i > 0 {
					b.WriteString("," + genSpace.Draw(t, "space"))
				}
				b.WriteString(genJSON(depth-1).Draw(t, "element") + genSpace.Draw(t, "space"))
			}
			return b.String() + "]"
		case kind < 7:
			return rapid.SampledFrom(numbers).Draw(t, "number")
		case kind < 8:
			return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "literal")
		}
		return genString(rapid.String()).Draw(t, "string")
	})
}

func genObject(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		space := func() { b.WriteString(genSpace.Draw(t, "space")) }
		b.WriteByte('{')
		space()
		for i := range rapid.IntRange(0, 5).Draw(t, "n") {
			if i > 0 {
				b.WriteByte(',')
				space()
			}
			b.WriteString(genString(genKey).Draw(t, "key"))
			space()
			b.WriteByte(':')
			space()
			b.WriteString(genJSON(depth).Draw(t, "value"))
			space()
		}
		return b.String() + "}"
	})
}

// genDocument is a payload.
var genDocument = rapid.Custom(func(t *rapid.T) string {
	return genSpace.Draw(t, "before") + genObject(3).Draw(t, "document") + genSpace.Draw(t, "behind")
})

var genStep = rapid.Custom(func(t *rapid.T) Step {
	if rapid.IntRange(0, 3).Draw(t, "list") == 0 {
		return Step{List: true, Index: rapid.IntRange(0, 3).Draw(t, "index")}
	}
	return Step{Key: genKey.Draw(t, "key")}
})

var genPath = rapid.Custom(func(t *rapid.T) Path {
	return append(Path{{Key: genKey.Draw(t, "key")}}, rapid.SliceOfN(genStep, 0, 3).Draw(t, "rest")...)
})

var genValue = rapid.Custom(func(t *rapid.T) Value {
	switch rapid.IntRange(0, 5).Draw(t, "made") {
	case 0:
		return FloatValue(rapid.Float64().Draw(t, "float"))
	case 1:
		return IntValue(rapid.Int64().Draw(t, "int"))
	case 2:
		return StringValue(rapid.String().Draw(t, "string"))
	}
	return ProjectValue(genJSON(2).Draw(t, "json"), nil)
})

// decode is what encoding/json makes of a text, with the literals of numbers.
func decode(t require, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		t.Fatalf("encoding/json on %q: %v", text, err)
	}
	return x
}

type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

// missing stands for what a decoded document does not have.
type missing struct{}

func lookup(x any, p Path) any {
	for _, step := range p {
		switch y := x.(type) {
		case map[string]any:
			v, ok := y[step.Key]
			if !ok || step.List {
				return missing{}
			}
			x = v
		case []any:
			if !step.List || step.Index >= len(y) {
				return missing{}
			}
			x = y[step.Index]
		default:
			return missing{}
		}
	}
	return x
}

// requireValue compares a value with what encoding/json read.
func requireValue(t require, what string, v Value, want any) {
	t.Helper()
	switch want := want.(type) {
	case missing:
		if v.Kind() != Missing {
			t.Fatalf("%s: got %s, want nothing", what, AppendValue(nil, v))
		}
		return
	case json.Number:
		requireNumber(t, what, v, string(want))
		return
	}
	if v.Kind() == Missing {
		t.Fatalf("%s is missing", what)
	}
	kinds := map[Kind]any{Null: nil, Bool: v.Bool(), String: v.Str()}
	if v.Kind() == List || v.Kind() == Map {
		kinds[v.Kind()] = decode(t, v.JSON())
	}
	if got, ok := kinds[v.Kind()]; !ok || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got the %s %s, want %#v", what, v.Kind(), AppendValue(nil, v), want)
	}
	if got := decode(t, string(AppendValue(nil, v))); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s is written as %s, want %#v", what, AppendValue(nil, v), want)
	}
}

func requireNumber(t require, what string, v Value, literal string) {
	t.Helper()
	if v.Text() != literal || !bytes.Equal(AppendValue(nil, v), []byte(literal)) {
		t.Fatalf("%s: literal %q, want %q", what, v.Text(), literal)
	}
	i, err := strconv.ParseInt(literal, 10, 64)
	if err == nil && literal != "-0" {
		if v.Kind() != Int || v.Int() != i {
			t.Fatalf("%s: got the %s %d, want the int %d", what, v.Kind(), v.Int(), i)
		}
		return
	}
	f, _ := strconv.ParseFloat(literal, 64)
	if v.Kind() != Float || math.Float64bits(v.Float()) != math.Float64bits(f) {
		t.Fatalf("%s: got the %s %v, want the float %v", what, v.Kind(), v.Float(), f)
	}
}
