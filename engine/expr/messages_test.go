package expr

import (
	"errors"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

// known is a closed schema.
func known() *Schema {
	return new(Schema).With("reading", Number).With("line_id", String).With("on", Bool).With("n", Int).
		With("f", Float).With("tags", List).With("place", Map).With("x", Any)
}

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct {
		source      string
		offset, len int
		want        string
	}{
		// Names.
		{`readin > 1`, 0, 6, `unknown field "readin"; did you mean "reading"?`},
		{`1 < zzz.y`, 4, 5, `unknown field "zzz"; the fields here are reading, line_id, on, n, f, tags, place, x`},
		{`x + readin + zzz`, 4, 6, `unknown field "readin"; did you mean "reading"?`},
		{`coutn(tags, # > 1)`, 0, 5, `unknown function "coutn"; did you mean "count"?`},
		{`1 + zzzzzz(x)`, 4, 6, `unknown function "zzzzzz"`},
		{`n > params.limt`, 4, 11, `unknown param "limt"; did you mean "limit"?`},
		{`params.zzzzzzz`, 0, 14, `unknown param "zzzzzzz"; the params are limit, line, lines, ratio`},
		{`params`, 0, 6, `params needs a name; as in params.limit; a field that is called params is $env["params"]`},
		{`meta == 1`, 0, 4, `meta needs a name; as in meta.queue; a field that is called meta is $env["meta"]`},
		{`keys($env)`, 5, 4, `$env needs the name of a field; as in $env["odd name"]`},
		{`reading.value`, 0, 13, `reading is a number, it has no value`},
		{`tags.first`, 0, 10, `tags is a list, it has no first`},
		{`line_id.Trim()`, 0, 12, `line_id is a field, it has no function Trim; functions are written around it, as in lower(line_id); date(line_id) makes a time of text`},
		{`let n = 1; n`, 4, 1, ``},
		{`let n = n; 1`, 4, 1, `let n: the name "n" is taken already`},
		// Types.
		{`"a" * 2`, 0, 7, `""a" * 2": * needs numbers, but "a" is text`},
		{`1 + "a" * 2`, 4, 7, `""a" * 2": * needs numbers, but "a" is text`},
		{`!reading`, 0, 8, `"!reading": ! needs true or false, but reading is a number`},
		{`on && (reading)`, 0, 15, `"on && (reading)": && needs true or false, but reading is a number`},
		{`line_id > 5`, 0, 11, `"line_id > 5": > needs two numbers or two texts, but line_id is text and 5 is a number; string(…) makes text of a number, float(…) a number of text`},
		{`line_id == 5`, 0, 12, `"line_id == 5": == needs two values of one type, but line_id is text and 5 is a number; string(…) makes text of a number, float(…) a number of text`},
		{`on == "true"`, 0, 12, `"on == "true"": == needs two values of one type, but on is true or false and "true" is text`},
		{`reading + line_id`, 0, 17, `"reading + line_id": + needs two numbers or two texts, but reading is a number and line_id is text; string(…) makes text of a number, float(…) a number of text`},
		{`reading > nil`, 0, 13, `"reading > nil": nil cannot be compared`},
		{`f % 2`, 0, 5, `"f % 2": % needs integers, but f is a number with decimals`},
		{`line_id in [1, 2]`, 0, 17, `"line_id in [1, 2]": this is never true: line_id is text, and nothing in the list is`},
		{`"a" in line_id`, 0, 14, `""a" in line_id": in needs a list or an object on its right, but line_id is text; contains looks into text, as in name contains "a"`},
		{`line_id matches "a("`, 16, 4, `the pattern does not compile: missing closing ): a(`},
		{`reading ? 1 : 2`, 0, 15, `"reading ? 1 : 2": ? needs true or false in front of it, but reading is a number`},
		{`lower(reading)`, 0, 14, `"lower(reading)": lower needs text, but reading is a number`},
		{`lower()`, 0, 5, `lower needs more arguments`},
		{`len(1, 2)`, 0, 3, `the function takes 1 arguments, not 2`},
		{`split(1, 2)`, 0, 5, `split does not take these arguments`},
		{`filter(reading, # > 1)`, 0, 0, ``},
		{`filter(line_id, # > 1)`, 7, 7, `filter needs a list, not text`},
		{`filter(tags, 1)`, 13, 1, `the condition must be true or false, not a number`},
		{`map([1, 2], # + "a")`, 12, 7, `"# + "a"": + needs two numbers or two texts, but # is a number and "a" is text; string(…) makes text of a number, float(…) a number of text`},
		{`1 / 0`, 0, 5, `"1 / 0": division by zero`},
		{`int("x")`, 0, 8, `"int("x")": "x" is not an integer`},
		// Words of other languages.
		{`n = 1`, 2, 1, `"=" does not compare; write == to compare`},
		{`n === 1`, 2, 3, `"===" is not an operator; write ==`},
		{`n <> 1`, 2, 2, `"<>" is not an operator; write !=`},
		{`n => 1`, 2, 2, `"=>" is not an operator; "at least" is >=`},
		{`x == NULL`, 5, 4, `"NULL" is not a value; write nil`},
		{`x != None`, 5, 4, `"None" is not a value; write nil`},
		{`on ? NULL : 1`, 5, 4, `"NULL" is not a value; write nil`},
		{`{null: 1, NOT: n}`, 0, 0, ``},
		{`x == null`, 5, 4, `"null" is not a value; write nil`},
		{`on == True`, 6, 4, `"True" is not a value; write true`},
		{`on AND n > 1`, 3, 3, `"AND" is not an operator; write and`},
		{`on OR on`, 3, 2, `"OR" is not an operator; write or`},
		{`NOT on`, 0, 3, `"NOT" is not an operator; write not or !`},
		{`on & on`, 3, 1, `"&" is not an operator; write && or and`},
		{`on | on`, 3, 1, `"|" needs a function behind it; write || or or, or a function as in name | lower()`},
		{`x is nil`, 2, 2, `"is" is not an operator; write == or !=`},
		{`line_id like "a%"`, 8, 4, `"like" is not an operator; write contains, startsWith, endsWith or matches`},
		{`line_id =~ "a"`, 9, 1, `"~" is not an operator; a pattern is tested with matches`},
		// Syntax.
		{``, 0, 0, `the expression is empty`},
		{`  `, 0, 0, `the expression is empty`},
		{`(n + 1`, 0, 1, `"(" is never closed`},
		{`n + 1)`, 5, 1, `")" closes nothing`},
		{`[n}`, 2, 1, `"}" closes nothing`},
		{`n +`, 2, 1, `the expression ends too early`},
		{`n n`, 2, 1, `"n" is not expected here`},
		{`"abc`, 0, 4, `the text is never closed; its closing quote is missing`},
		{`n > “a”`, 4, 3, `the quote “ is not a quote of the language; write " or '`},
		{`1st > 2`, 0, 3, `"1st" is not a number; a field of this name is $env["1st"]`},
		{`line_id matches "\d"`, 18, 1, "unknown escape in a text; double the backslash, or put the text between `backquotes`"},
		{`x ?? 0 + 1`, 7, 1, `?? and + need parentheses around one of them; as in (reading ?? 0) + …`},
		{`n > 99999999999999999999`, 4, 20, `the number is too large`},
		{`n @ 1`, 2, 1, `the character @ is not expected here`},
		{`"ë" == "ö" == ö *`, 19, 1, `the expression ends too early`},
	} {
		_, err := Compile(c.source, Env{Schema: known(), Params: params()})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.source, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: no error, want %s", c.source, c.want)
			continue
		}
		if got := strings.TrimPrefix(e.Error(), `"`); got != strings.TrimPrefix(c.want, `"`) {
			t.Errorf("%s:\n got %s\nwant %s", c.source, e.Error(), c.want)
		}
		if e.Offset != c.offset || e.Len != c.len {
			t.Errorf("%s: at %d+%d (%q), want %d+%d", c.source, e.Offset, e.Len, c.source[e.Offset:min(len(c.source), e.Offset+e.Len)], c.offset, c.len)
		}
	}
}

func TestTypes(t *testing.T) {
	for source, want := range map[string]Type{
		`reading`: Number, `line_id`: String, `x`: Any, `place.a`: Any, `tags[0]`: Any, `tags`: List, `place`: Map,
		`n + n`: Number, `n + f`: Float, `n / n`: Float, `n % 2`: Int, `x - 1`: Number, `(x - 32) / 1.8`: Float, `x + x`: Any, `x + "a"`: String,
		`x > 1`: Bool, `!x`: Bool, `x in tags`: Bool, `on ? n : f`: Number, `on ? n : line_id`: Any, `on ? n : nil`: Int, `x ?? 0`: Any, `n ?? 0`: Int,
		`nil`: Null, `len(x)`: Int, `round(x)`: Float, `lower(x)`: String, `min(n, f)`: Number, `filter(tags, # == 1)`: List, `now()`: String,
		`now() - now()`: String, `now().Unix()`: Int, `{"a": 1}`: Map, `count(tags, # == 1)`: Int, `params.limit`: Int, `1.5`: Float, `meta.x`: Any,
		`abs(f)`: Float, `string(x)`: String,
	} {
		p, err := Compile(source, Env{Schema: known(), Params: params()})
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if p.Type() != want {
			t.Errorf("%s is %v, want %v", source, p.Type(), want)
		}
	}
}

func TestAKnownTypeMayStillBeNil(t *testing.T) {
	for source, want := range map[string]string{
		`n == 1`: `false`, `line_id == "a"`: `false`, `n ?? 3`: `3`, `n == nil`: `true`, `line_id contains "a"`: `false`,
		`map([1], n == #)`: `[false]`, `filter(tags ?? [], true)`: `[]`,
	} {
		l := record.NewLayout()
		p, err := Compile(source, Env{Layout: l, Schema: known()})
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		for _, p := range []*Program{p, p.onMachine()} {
			v, err := p.Eval(scope(t, l, `{}`))
			if got := string(record.AppendValue(nil, v)); err != nil || got != want {
				t.Errorf("%s = %s, %v; want %s", source, got, err, want)
			}
		}
	}
}

func TestSchema(t *testing.T) {
	s := new(Schema).With("a", Int).With("b", String)
	if u := s.With("a", Float).Without("b"); strings.Join(u.Names(), " ") != "a" {
		t.Errorf("names: %v", u.Names())
	}
	if typ, ok := s.Lookup("a"); typ != Int || !ok || strings.Join(s.Names(), " ") != "a b" {
		t.Errorf("a copy changed its original: %v %v", typ, s.Names())
	}
	var none *Schema
	if u := none.With("a", Int); !u.Open || len(none.Names()) != 0 {
		t.Error("a schema that knows nothing stays open")
	}
	if _, err := Compile(`zzz > 1`, Env{Schema: &Schema{Open: true}}); err != nil {
		t.Error(err)
	}
}

func TestParseCall(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{`count()`, `count`},
		{`quantile(celsius, 0.99)`, `quantile|9:celsius|18:0.99`},
		{` mean( (reading - 32) / 1.8 ) `, `mean|7:(reading - 32) / 1.8`},
		{`sum(max(a, b), f([1, 2], {"x": 1}))`, `sum|4:max(a, b)|15:f([1, 2], {"x": 1})`},
		{`top("a,b)", 3)`, `top|4:"a,b)"|12:3`},
		{`ö(ë, 1)`, `ö|3:ë|7:1`},
		{`f(a,)`, `! 4+0 an argument is missing`},
		{`f(,a)`, `! 2+0 an argument is missing`},
		{`f(a) + 1`, `! 5+3 nothing may follow the call; write a function and its arguments, as in mean(celsius)`},
		{`celsius`, `! 0+7 "celsius" is not one call; write a function and its arguments, as in mean(celsius)`},
		{`1 + f(a)`, `! 0+8 "1 + f(a)" is not one call; write a function and its arguments, as in mean(celsius)`},
		{`f(a`, `! 1+1 "(" is never closed`},
		{``, `! 0+0 the expression is empty`},
	} {
		name, args, err := ParseCall(c.source)
		got := name
		for _, a := range args {
			got += "|" + string(record.AppendValue(nil, record.IntValue(int64(a.Offset)))) + ":" + a.Text
			if c.source[a.Offset:a.Offset+len(a.Text)] != a.Text {
				t.Errorf("%s: %q is not at %d", c.source, a.Text, a.Offset)
			}
		}
		var e *Error
		if errors.As(err, &e) {
			got = "! " + record.IntValue(int64(e.Offset)).Text() + "+" + record.IntValue(int64(e.Len)).Text() + " " + e.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.source, got, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	twice := "a"
	for range 40 {
		twice = "(" + twice + " ?: b)"
	}
	for _, source := range []string{
		strings.Repeat("a", maxSource+1),
		strings.Repeat("1+", 8000) + "1",
		twice, // the parser shares nodes: a walk would meet 2^40 of them
		strings.Repeat("(", 8000),
		strings.Repeat("[", 4000) + strings.Repeat("]", 4000),
		strings.Repeat("!", 10000) + "a",
		strings.Repeat("-", 4000) + "a",
	} {
		_, err := Compile(source, Env{})
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%.20s…: a message of %d bytes", source, len(err.Error()))
		}
	}
	p, err := Compile("a"+strings.Repeat(" + a", 3000), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := p.Eval(&Scope{Record: &record.Record{Fields: []record.Value{record.IntValue(1)}}}); err != nil || v.Int() != 3001 {
		t.Errorf("%v, %v", v.Text(), err)
	}
}
