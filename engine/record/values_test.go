package record

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var genLiteral = rapid.OneOf(
	rapid.SampledFrom(numbers),
	rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`),
	rapid.StringMatching(`-?[0-9]{17,20}`),
	rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }),
	rapid.Map(rapid.Int64(), func(i int64) string { return strconv.FormatInt(i, 10) }),
)

func TestNumbersAreThoseOfStrconv(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { requireLiteral(t, genLiteral.Draw(t, "literal")) })
}

func requireLiteral(t require, literal string) {
	v, ok := parseNumber(literal)
	valid := json.Valid([]byte(literal)) && strings.Trim(literal, "+-.0123456789eE") == ""
	if ok != valid {
		t.Fatalf("%q: accepted: %v, want %v", literal, ok, valid)
	}
	if ok {
		requireNumber(t, literal, v, literal)
	}
}

func TestMadeValuesAreWrittenAsByEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Int(), func(i int) float64 { return float64(i) })).Draw(t, "float")
		want, _ := json.Marshal(f)
		if got := AppendValue(nil, FloatValue(f)); string(got) != string(want) {
			t.Fatalf("%v is written as %s, want %s", f, got, want)
		}
		s := rapid.String().Draw(t, "string")
		if got := decode(t, string(AppendValue(nil, StringValue(s)))); got != s {
			t.Fatalf("%q reads back as %q", s, got)
		}
	})
	for v, want := range map[Value]string{
		{}:                         `null`,
		FloatValue(math.NaN()):     `null`,
		FloatValue(math.Inf(-1)):   `null`,
		FloatValue(3):              `3`,
		FloatValue(1e21):           `1e+21`,
		FloatValue(1e-7):           `1e-7`,
		StringValue("<&>\u2028é"):  "\"<&>\u2028é\"",
		StringValue("a\xffb\xc3"):  "\"a\ufffdb\ufffd\"",
		StringValue("\"\\\n\x01/"): `"\"\\\n\u0001/"`,
	} {
		if got := string(AppendValue(nil, v)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := FloatValue(math.NaN()).Text(); got != "NaN" {
		t.Errorf("got %s", got)
	}
}

// Keys and Equal must agree: a window by key and an expression otherwise
// see different groups.
func TestEqualValuesAndOnlyTheyHaveEqualKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genValue.Draw(t, "a"), genValue.Draw(t, "b")
		switch rapid.IntRange(0, 2).Draw(t, "kin") {
		case 0: // the same, written in another way
			b, _ = FromGo(a.Go())
		case 1:
			b = a
		}
		keyA, keyB := string(AppendKey(nil, a)), string(AppendKey(nil, b))
		if beyond(a) != beyond(b) || strings.Contains(keyA+keyB, "99999") || strings.Contains(keyA+keyB, "1e") {
			return // beyond the range of numbers, where digits count
		}
		if Equal(a, b) != (keyA == keyB) || Equal(b, a) != (keyA == keyB) {
			t.Fatalf("equal %v, keys %s and %s", Equal(a, b), keyA, keyB)
		}
	})
}

func TestKeys(t *testing.T) {
	number := func(s string) Value { v, _ := parseNumber(s); return v }
	for _, tt := range []struct {
		values []Value
		want   string
	}{
		{[]Value{StringValue("a")}, `"a"`},
		{[]Value{StringValue("1"), number("1")}, `"1",1`},
		{[]Value{number("1.0")}, `1`},
		{[]Value{number("1e3")}, `1000`},
		{[]Value{number("-0")}, `0`},
		{[]Value{number("9007199254740993")}, `9007199254740993`},
		{[]Value{number("18446744073709551615")}, `18446744073709551615`},
		{[]Value{number("18446744073709551614")}, `18446744073709551614`},
		{[]Value{FloatValue(0.5), {}, NullValue(), BoolValue(true)}, `0.5,null,null,true`},
		{[]Value{StringValue(`a","b`)}, `"a\",\"b"`},
		{[]Value{{kind: String, s: `\u0061\/`, escaped: true}}, `"a/"`},
		{[]Value{MapValue(`{"b": 1.0, "a":[1, "\u0061"], "b":2}`)}, `{"a":[1,"a"],"b":2}`},
	} {
		got := string(AppendKey(nil, tt.values...))
		if got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		back := KeyValues(got)
		if len(back) != len(tt.values) || string(AppendKey(nil, back...)) != got {
			t.Errorf("%s reads back as %v", got, back)
		}
	}
	// The hash decides where state is; it must never change.
	if a, b := Hash(`"sensor_000123"`), Hash([]byte(`"sensor_000123"`)); a != b || a != 0x704576d43bba5b62 {
		t.Errorf("hash %#x and %#x", a, b)
	}
	dst := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { Hash(AppendKey(dst, StringValue("sensor_000123"))) }); n != 0 {
		t.Errorf("a key of one string makes %v allocations", n)
	}
}

func TestCompare(t *testing.T) {
	number := func(s string) Value { v, _ := parseNumber(s); return v }
	for _, tt := range []struct {
		a, b Value
		want int
		ok   bool
	}{
		{IntValue(1), IntValue(2), -1, true},
		{IntValue(1), FloatValue(1), 0, true},
		{IntValue(1<<53 + 1), FloatValue(1 << 53), 1, true},
		{FloatValue(-0.5), IntValue(0), -1, true},
		{IntValue(math.MaxInt64), FloatValue(1 << 63), -1, true},
		{IntValue(math.MinInt64), FloatValue(-1 << 63), 0, true},
		{FloatValue(math.Inf(-1)), IntValue(math.MinInt64), -1, true},
		{number("18446744073709551615"), number("18446744073709551614"), 1, true},
		{number("-18446744073709551615"), number("-18446744073709551614"), -1, true},
		{FloatValue(math.NaN()), IntValue(0), 0, false},
		{IntValue(0), FloatValue(math.NaN()), 0, false},
		{StringValue("a"), StringValue("b"), -1, true},
		{StringValue("1"), IntValue(1), 0, false},
		{BoolValue(true), BoolValue(true), 0, false},
		{Value{}, NullValue(), 0, false},
	} {
		got, ok := Compare(tt.a, tt.b)
		back, _ := Compare(tt.b, tt.a)
		if got != tt.want || ok != tt.ok || back != -got {
			t.Errorf("%s and %s: %d, %v, back %d", tt.a.Text(), tt.b.Text(), got, ok, back)
		}
	}
	if !Equal(Value{}, NullValue()) || Equal(NullValue(), BoolValue(false)) || Equal(BoolValue(true), BoolValue(false)) {
		t.Error("wrong equality of null and booleans")
	}
}

func TestGoValues(t *testing.T) {
	type level string
	at := time.Date(2024, 5, 1, 12, 0, 0, 5e8, time.UTC)
	for _, tt := range []struct {
		x    any
		want string
	}{
		{nil, `null`}, {true, `true`}, {7, `7`}, {int8(-7), `-7`}, {uint64(math.MaxUint64), `18446744073709551615`},
		{1.5, `1.5`}, {float32(0.5), `0.5`}, {"a\"", `"a\""`}, {level("x"), `"x"`}, {json.Number("1.50"), `1.50`},
		{at, `"2024-05-01T12:00:00.5Z"`}, {90 * time.Second, `"1m30s"`},
		{[]any{1, "a", nil, []any{at}}, `[1,"a",null,["2024-05-01T12:00:00.5Z"]]`},
		{[]string{"a"}, `["a"]`}, {[]int(nil), `[]`}, {[]float64{math.Inf(1)}, `[null]`},
		{map[string]any{"b": 1, "a": map[string]any{}}, `{"a":{},"b":1}`}, {map[level]int{"x": 1}, `{"x":1}`},
		{StringValue("v"), `"v"`},
	} {
		v, err := FromGo(tt.x)
		if got := string(AppendValue(nil, v)); err != nil || got != tt.want {
			t.Errorf("%v: got %s (%v), want %s", tt.x, got, err, tt.want)
		}
	}
	for _, x := range []any{func() {}, map[int]int{}, []any{make(chan int)}, map[string]any{"a": struct{}{}}, json.Number("x")} {
		if v, err := FromGo(x); err == nil {
			t.Errorf("%T became %s", x, AppendValue(nil, v))
		}
	}
	v := MapValue(`{"a":[1,2.5,"\u0062",null,true,{}],"a":{"c":1,"c":[]}}`)
	if got, want := v.Go(), (map[string]any{"a": map[string]any{"c": []any{}}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := ListValue(`[1,2.5,"\u0062",null,true]`).Go(), ([]any{1, 2.5, "b", nil, true}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzNumber(f *testing.F) {
	for _, n := range numbers {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, literal string) { requireLiteral(t, literal) })
}

func FuzzQuote(f *testing.F) {
	f.Add("plain")
	f.Add("größe \"\\\n\x00 \xff 😀")
	f.Fuzz(func(t *testing.T, s string) {
		// One U+FFFD for every bad byte, as in ranging over the string.
		want := string([]rune(s))
		if got := decode(t, string(appendQuoted(nil, s))); got != want {
			t.Fatalf("%q reads back as %q, want %q", s, got, want)
		}
		if v := ProjectValue(string(appendQuoted(nil, s)), nil); v.Str() != want || !utf8.ValidString(v.Str()) {
			t.Fatalf("%q reads back as %q", s, v.Str())
		}
	})
}
