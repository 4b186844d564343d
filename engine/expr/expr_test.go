package expr

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

const reading = `{"reading":50,"celsius":10.5,"line_id":"line_1","name":"Zoë","tags":["a","b"],"none":null,"on":true,
"count":3,"meta":"own","odd name":1,"place":{"hall":{"row":4}},"items":[{"p":1},{"p":2.5},{}],
"id":9223372036854775807,"huge":12345678901234567890,"1st":2,"quoted":"a\"b"}`

type headers struct{}

func (headers) Lookup(p record.Path, seq uint64) record.Value {
	switch p.String() {
	case "queue":
		return record.StringValue("q1")
	case `headers["x-try"]`, "headers.x-try":
		return record.IntValue(2)
	case "seq":
		return record.IntValue(int64(seq))
	}
	return record.Value{}
}

func params() map[string]record.Value {
	return map[string]record.Value{
		"limit": record.IntValue(5), "ratio": record.FloatValue(0.5), "line": record.StringValue("line_1"),
		"lines": record.ListValue(`["line_1","line_2"]`),
	}
}

// scope is a record with the fields that a layout asks for.
func scope(t testing.TB, l *record.Layout, payload string) *Scope {
	t.Helper()
	r := &record.Record{Payload: []byte(payload), Fields: make([]record.Value, l.Len()), Meta: headers{}, Origin: record.Origin{Seq: 7}}
	if err := record.NewProjector(l).Project(r.Payload, r.Fields); err != nil {
		t.Fatal(err)
	}
	return &Scope{Record: r, Now: 1_700_000_000_123_456_789}
}

func compileFor(t testing.TB, source string) (*Program, *Scope) {
	t.Helper()
	l := record.NewLayout()
	p, err := Compile(source, Env{Layout: l, Params: params()})
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return p, scope(t, l, reading)
}

// onMachine is the program without its closures.
func (p *Program) onMachine() *Program {
	forced := *p
	forced.forced = true
	return &forced
}

func TestValues(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{`reading * 2`, `100`},
		{`(reading - 32) / 1.8`, `10`},
		{`reading / 4`, `12.5`},
		{`reading % 7`, `1`},
		{`-7 % 3`, `-1`},
		{`2 ** 10`, `1024`},
		{`-reading`, `-50`},
		{`id + 1`, `9223372036854776000`},
		{`id - 1`, `9223372036854775806`},
		{`-id - 2`, `-9223372036854776000`},
		{`id * -1`, `-9223372036854775807`},
		{`id ?? 0`, `9223372036854775807`},
		{`string(id)`, `"9223372036854775807"`},
		{`string(reading / 100)`, `"0.5"`},
		{`line_id + "/" + name`, `"line_1/Zoë"`},
		{`absent == nil`, `true`},
		{`none == nil`, `true`},
		{`absent ?? none ?? 7`, `7`},
		{`absent != nil`, `false`},
		{`place.hall.row`, `4`},
		{`place?.cellar?.row`, `null`},
		{`absent.b.c`, `null`},
		{`tags[0]`, `"a"`},
		{`tags[-1]`, `"b"`},
		{`tags[9]`, `null`},
		{`tags[reading - 49]`, `"b"`},
		{`$env["odd name"] + 1`, `2`},
		{`$env["1st"]`, `2`},
		{`$env["meta"]`, `"own"`},
		{`meta.queue`, `"q1"`},
		{`meta.headers["x-try"] + 1`, `3`},
		{`meta.seq`, `7`},
		{`params.limit + 1`, `6`},
		{`params.line in params.lines`, `true`},
		{`line_id in params.lines`, `true`},
		{`count > 2`, `true`},
		{`on and not (reading > 60) || false`, `true`},
		{`40 < reading <= 50`, `true`},
		{`reading == 50.0`, `true`},
		{`reading == "50"`, `false`},
		{`id == 9223372036854775808.0`, `false`},
		{`name != "x"`, `true`},
		{`line_id > "line_0"`, `true`},
		{`quoted == "a\"b"`, `true`},
		{`line_id in ["line_1", "line_2"]`, `true`},
		{`line_id not in ["a","b","c","d","e","f","g","h","i"]`, `true`},
		{`absent in ["a", nil]`, `true`},
		{`reading in 1..50`, `true`},
		{`celsius in 1..50`, `false`},
		{`"a" in tags`, `true`},
		{`"hall" in place`, `true`},
		{`"a" in absent`, `false`},
		{`reading > 10 ? "high" : "low"`, `"high"`},
		{`if reading > 10 { "high" } else { "low" }`, `"high"`},
		{`name matches "^Z.+"`, `true`},
		{`absent matches "^Z.+"`, `false`},
		{`name matches line_id`, `false`},
		{`name contains "o" and name startsWith "Z" and not (name endsWith "x")`, `true`},
		{`len(name)`, `3`},
		{`toJSON({"b": [1, 2.5], "a": {"x": nil}})`, `"{\"a\":{\"x\":null},\"b\":[1,2.5]}"`},
		{`toJSON(tags) + toJSON(absent)`, `"[\"a\",\"b\"]null"`},
		{`len(tags) + len(place)`, `3`},
		{`name[0:2]`, `"Zo"`},
		{`name[-1:]`, `"ë"`},
		{`tags[1:5]`, `["b"]`},
		{`absent[1:]`, `null`},
		{`upper(name) + lower("ABC") + trim(" x ") + trim("xax", "x")`, `"ZOËabcxa"`},
		{`name | upper()`, `"ZOË"`},
		{`int("12") + int(2.9) + int(-2.9)`, `12`},
		{`float("1.5") + float(1)`, `2.5`},
		{`abs(-3) + abs(2.5)`, `5.5`},
		{`round(2.5) + floor(-0.5) + ceil(0.2)`, `3`},
		{`min(reading, 3.5, count)`, `3`},
		{`max(reading, celsius)`, `50`},
		{`max(map(items, .p ?? 0))`, `2.5`},
		{`string(place) + string(true)`, `"{\"hall\":{\"row\":4}}true"`},
		{`filter(tags, # != "a")`, `["b"]`},
		{`map(items, (.p ?? 0) * 2)`, `[2,5,0]`},
		{`sum(items, .p ?? 0)`, `3.5`},
		{`count(items, .p != nil)`, `2`},
		{`any(tags, # == line_id) || all(tags, len(#) == 1)`, `true`},
		{`reduce(1..4, #acc + #)`, `10`},
		{`let x = reading * 2; let y = x + 1; y`, `101`},
		{`keys({"b": 1, "a": 2, "c": 3})`, `["a","b","c"]`},
		{`values({"b": 1, "a": 2})`, `[2,1]`},
		{`toPairs({"b": 1, "a": 2})`, `[["a",2],["b",1]]`},
		{`groupBy(items, .p ?? 0)`, `{"0":[{}],"1":[{"p":1}],"2.5":[{"p":2.5}]}`},
		{`{"n": name, r: reading}`, `{"n":"Zoë","r":50}`},
		{`tags == ["a", "b"]`, `true`},
		{`place == {"hall": {"row": 4.0}}`, `true`},
		{`now()`, `"2023-11-14T22:13:20.123456789Z"`},
		{`now().UnixMilli()`, `1700000000123`},
		{`now().Unix() - 1`, `1699999999`},
		{`now() - duration("1h")`, `"2023-11-14T21:13:20.123456789Z"`},
		{`now() - date("2023-11-14")`, `"22h13m20.123456789s"`},
		{`(now() - date("2023-11-14T22:13:20Z")).Seconds()`, `0.123456789`},
		{`now() > date("2023-11-14")`, `true`},
		{`now(timezone("Europe/Berlin")).Hour()`, `23`},
		{`[now(), nil, 1.5]`, `["2023-11-14T22:13:20.123456789Z",null,1.5]`},
		{`false && 1 / 0 > 1`, `false`},
		{`params.limit == 0 ? 0 : 10 / params.limit`, `2`},
		{"name matches `^\\w+$`", `false`},
	} {
		p, s := compileFor(t, c.source)
		for _, p := range []*Program{p, p.onMachine()} {
			v, err := p.Eval(s)
			if got := string(record.AppendValue(nil, v)); err != nil || got != c.want {
				t.Errorf("%s (machine %v) = %s, %v; want %s", c.source, p.forced, got, err, c.want)
			}
		}
	}
}

func TestRunTimeErrors(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{`absent * 2`, `"absent * 2": absent is missing (nil), so it cannot be multiplied`},
		{`2 * absent.deep`, `"2 * absent.deep": absent.deep is missing (nil), so it cannot be multiplied`},
		{`absent > 10`, `"absent > 10": absent is missing (nil), so it cannot be compared`},
		{`-absent`, `"-absent": absent is missing (nil), so it cannot be negated`},
		{`lower(absent)`, `"lower(absent)": absent is missing (nil), so lower cannot take it`},
		{`absent && on`, `"absent && on": absent is missing (nil), so it cannot be used as a condition`},
		{`absent ? 1 : 2`, `"absent ? 1 : 2": absent is missing (nil), so it cannot be used as a condition`},
		{`name * 2`, `"name * 2": * needs numbers, but name is text`},
		{`name + 1`, `"name + 1": + needs two numbers or two texts, but name is text and 1 is a number`},
		{`reading > "a"`, `"reading > "a"": > needs two numbers or two texts, but reading is a number and "a" is text`},
		{`!reading`, `"!reading": ! needs true or false, but reading is a number`},
		{`(reading - 1) * (name)`, `"(reading - 1) * (name)": * needs numbers, but name is text`},
		{`reading / (count - 3)`, `"reading / (count - 3)": division by zero`},
		{`reading % 0`, `"reading % 0": division by zero`},
		{`celsius % 2`, `"celsius % 2": % takes integers, not numbers with decimals`},
		{`celsius ** 1000`, `"celsius ** 1000": the result is too large for a number`},
		{`int(name)`, `"int(name)": name is "Zoë", which is not an integer`},
		{`float(name)`, `"float(name)": name is "Zoë", which is not a number`},
		{`string(absent)`, `"string(absent)": absent is missing (nil), so string cannot take it`},
		{`"x" in name`, `"x" in name": in needs a list or an object on its right, but name is text`},
		{`any(absent, # > 1)`, `"any(absent, # > 1)": absent is missing (nil), so any cannot take it`},
		{`filter(tags, #)`, `"filter(tags, #)": filter needs true or false behind the comma, but # is text`},
		{`map(tags, # * 2)`, `"# * 2": * needs numbers, but # is text`},
		{`map(items, .p * 2)`, `".p * 2": .p is missing (nil), so it cannot be multiplied`},
		{`sum(tags)`, `"sum(tags)": sum needs numbers, but the list has text in it`},
		{`min(tags)`, `"min(tags)": min needs numbers, but the list has text in it`},
		{`split(absent, ",")`, `"split(absent, ",")": there is nil where text is needed`},
		{`date(name)`, `"date(name)": invalid date Zoë`},
		{`map(1..2000000 + reading, #)`, `"map(1..2000000 + reading, #)": it makes too much data`},
		{`reduce(1..200 + reading, #acc + #acc, name)`, `"#acc + #acc": the text becomes longer than 1 MiB`},
		{`reduce(1..200 + reading, [#acc, #acc])`, `"reduce(1..200 + reading, [#acc, #acc])": the result is too large`},
	} {
		p, s := compileFor(t, c.source)
		for _, p := range []*Program{p, p.onMachine()} {
			v, err := p.Eval(s)
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%s (machine %v) = %s, %v; want an error", c.source, p.forced, v.Text(), err)
				continue
			}
			if !strings.Contains(e.Message, strings.TrimPrefix(c.want, `"`)) {
				t.Errorf("%s (machine %v):\n got %s\nwant %s", c.source, p.forced, e.Message, c.want)
			}
			if e.Offset < 0 || e.Offset+e.Len > len(c.source) {
				t.Errorf("%s: error at %d+%d is outside", c.source, e.Offset, e.Len)
			}
		}
	}
}

func TestBool(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{`reading > 10`, ``},
		{`on`, ``},
		{`absent`, `"absent" is nil, not true or false`},
		{`reading`, `"reading" is a number (50), not true or false`},
		{` name `, `"name" is text ("Zoë"), not true or false`},
		{`reading > name`, `"reading > name": > needs two numbers or two texts, but reading is a number and name is text`},
	} {
		p, s := compileFor(t, c.source)
		ok, err := p.Bool(s)
		if c.want == "" {
			if !ok || err != nil {
				t.Errorf("%s = %v, %v", c.source, ok, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Message != c.want {
			t.Errorf("%s: got %v, want %s", c.source, err, c.want)
		}
	}
}

func TestWhatAProgramTells(t *testing.T) {
	l := record.NewLayout()
	first := l.Slot(record.Path{{Key: "other"}})
	p, err := Compile(`reading > params.limit && place.hall.row in 1..params.limit && reading < 9 && tags[0] == meta.queue`, Env{Layout: l, Params: params()})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, path := range p.Paths() {
		paths = append(paths, path.String())
	}
	if got := strings.Join(paths, " "); got != "reading place.hall.row tags[0]" {
		t.Errorf("paths: %s", got)
	}
	if got := strings.Join(p.Params(), " "); got != "limit" {
		t.Errorf("params: %s", got)
	}
	if l.Len() != 4 || first != 0 {
		t.Errorf("the layout has %d slots", l.Len())
	}
	if _, ok := p.Const(); ok {
		t.Error("is no constant")
	}
	if p, _ := compileFor(t, `place.hall`); true {
		if s, ok := p.Slot(); !ok || s != 0 {
			t.Errorf("slot %v, %v", s, ok)
		}
	}
	for source, want := range map[string]string{
		`1 + 2`: `3`, `params.limit * 2`: `10`, `len("abc")`: `3`, `map(1..3, # * 2)`: `[2,4,6]`, `nil`: `null`,
		`params.ratio`: `0.5`, `"a" in params.lines`: `false`, `2 > 1 ? "x" : absent`: ``,
	} {
		p, _ := compileFor(t, source)
		v, ok := p.Const()
		if want == `` {
			want = `"x"`
		}
		if got := string(record.AppendValue(nil, v)); !ok || got != want {
			t.Errorf("%s: constant %v %s, want %s", source, ok, got, want)
		}
	}
	if p, _ := compileFor(t, `now()`); true {
		if _, ok := p.Const(); ok || p.Type() != String {
			t.Error("now() is text that changes")
		}
	}
}

func TestAFailedCompileLeavesTheLayoutAlone(t *testing.T) {
	l := record.NewLayout()
	if _, err := Compile(`reading + "a" * 2`, Env{Layout: l}); err == nil || l.Len() != 0 {
		t.Errorf("%v, %d slots", err, l.Len())
	}
}

func TestProgramsAreConcurrent(t *testing.T) {
	l := record.NewLayout()
	var programs []*Program
	for _, source := range []string{`reading * 2 + len(name)`, `filter(items, .p > 1)`, `name matches "Z" && "a" in tags`, `string(place)`} {
		p, err := Compile(source, Env{Layout: l})
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	var wg sync.WaitGroup
	for range 4 {
		s := scope(t, l, reading)
		wg.Go(func() {
			for range 200 {
				for _, p := range programs {
					_, _ = p.Eval(s)
				}
			}
		})
	}
	wg.Wait()
}

func TestNumbersAndLogicAllocateNothing(t *testing.T) {
	for _, source := range []string{
		`reading > 10 && line_id == "line_1"`, `(reading - 32) / 1.8`, `reading + count * 2 - celsius`, `reading % 7 == 1 or not on`,
		`line_id in ["a", "line_1"]`, `reading in 1..100`, `absent ?? reading`, `celsius > 3 ? celsius : 3`, `round(celsius) + abs(celsius)`,
		`min(reading, celsius)`, `line_id startsWith "line"`, `name matches "^Z"`, `absent == nil`, `int(celsius)`, `len(name)`, `now().UnixMilli()`,
	} {
		p, s := compileFor(t, source)
		if n := testing.AllocsPerRun(100, func() { _, _ = p.Eval(s) }); n != 0 {
			t.Errorf("%s: %v allocations", source, n)
		}
	}
}
