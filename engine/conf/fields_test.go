package conf_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

type branch struct {
	Name string
	When conf.Expr
}

type config struct {
	Size     int
	Big      int64
	Ratio    float64
	Timeout  time.Duration
	MaxBytes int64
	Path     string
	Password string
	Declare  bool
	Format   string
	Columns  []string
	Where    conf.Expr
	Set      []conf.NamedExpr
	Field    conf.Text
	By       []conf.Text
	Headers  []conf.Pair
	Every    time.Duration
	HasEmit  bool
	Branches []branch
	Types    []string
	Stages   *yaml.Node
}

func (c *config) bind(f *conf.Fields) {
	f.Int(&c.Size, "size", 100, "Emit once this many records are held.").Min(1).Max(1000)
	f.Int64(&c.Big, "big", 7, "A big number.")
	f.Float(&c.Ratio, "ratio", 0.5, "A ratio.").Min(0).Max(1)
	f.Duration(&c.Timeout, "timeout", time.Second, "Emit once the oldest record is this old.").Min(time.Millisecond)
	f.Size(&c.MaxBytes, "max_bytes", 1<<20, "The most bytes.").Min(16)
	f.String(&c.Path, "path", "", "Where to write.").NotEmpty()
	f.Secret(&c.Password, "password", "", "The password.").NotEmpty()
	f.Bool(&c.Declare, "declare", true, "Declare the queue.")
	f.Enum(&c.Format, "format", "json", []string{"json", "csv"}, "The format.")
	f.Strings(&c.Columns, "columns", nil, "The columns.").NotEmpty()
	f.Expr(&c.Where, "where", "Which records.")
	f.Exprs(&c.Set, "set", "New fields.")
	f.Path(&c.Field, "field", "The field.")
	f.Paths(&c.By, "by", "The key.")
	f.StringMap(&c.Headers, "headers", "Headers.")
	c.HasEmit = f.Object("emit", "When to emit.", func(f *conf.Fields) {
		f.Duration(&c.Every, "every", time.Minute, "How often.").Required()
		f.Check(func() (string, string) {
			if c.Every == 13*time.Second {
				return "13s brings bad luck", "use 12s"
			}
			return "", ""
		})
	}).Present()
	conf.Objects(f, "branches", "Where to go.", &c.Branches, func(b *branch, f *conf.Fields) {
		f.String(&b.Name, "name", "", "The name.").Required().NotEmpty()
		f.Expr(&b.When, "when", "The condition.")
	})
	conf.ObjectMap(f, "types", "Types of columns.", func(key conf.Text, f *conf.Fields) {
		var typ string
		f.Enum(&typ, "type", "text", []string{"text", "number"}, "The type.")
		c.Types = append(c.Types, key.Value+"="+typ)
	})
	f.Node(&c.Stages, "stages", "The stages.").Schema(map[string]any{"type": "array"})
	f.Conflict("size", "big")
}

func load(t *testing.T, src string, env map[string]string, params map[string]any) (*config, diag.List, *conf.Scope) {
	t.Helper()
	var diags diag.List
	scope := &conf.Scope{File: "f", Source: []byte(src), Params: params, Diags: &diags,
		Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }}
	root := conf.Parse("f", []byte(src), conf.Limits{}, &diags)
	c := &config{}
	if root != nil {
		f := conf.NewFields(scope, root, "batch")
		c.bind(f)
		if ok := f.Finish(); !ok && !diags.HasErrors() {
			t.Error("Finish is false without an error")
		}
	}
	diags.Sort()
	return c, diags, scope
}

func texts(l diag.List) []string {
	var out []string
	for _, d := range l {
		out = append(out, strings.TrimPrefix(d.String(), "f:"))
	}
	return out
}

var (
	testEnv    = map[string]string{"PORT": "80", "WORD": "hunter2", "EMPTY": ""}
	testParams = map[string]any{"lanes": int64(4), "ratio": 0.25, "on": true, "name": "x", "whole": 4.0}
)

func TestProblemsAreReportedWhereTheyAre(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		want      []string
	}{
		{"below the minimum", "timeout: 0s", []string{`1:10: batch: timeout 0s is below the minimum 1ms; use at least 1ms`}},
		{"above the maximum", "{size: 2000}", []string{`1:8: batch: size 2000 is above the maximum 1000; use at most 1000`}},
		{"list for a number", "size: [1]", []string{`1:7: batch: size: expected a whole number, got a list`}},
		{"word for a number", "size: many", []string{`1:7: batch: size: expected a whole number, got "many"`}},
		{"quoted number", `size: "5"`, []string{`1:7: batch: size: expected a whole number, got "5"; remove the quotes`}},
		{"leading zero", `size: 010`, []string{`1:7: batch: size: expected a whole number, got "010"; remove the leading zeros: 10`}},
		{"empty value", "size:", []string{`1:1: batch: size: expected a whole number, got nothing; give it a value, or remove the key`}},
		{"fraction", "size: 1.5", []string{`1:7: batch: size: expected a whole number, got "1.5"`}},
		{"huge number", "big: 99999999999999999999", []string{`1:6: batch: big: "99999999999999999999" is too large; use a smaller one`}},
		{"not finite", "ratio: .nan", []string{`1:8: batch: ratio: expected a number, got ".nan"`}},
		{"duration without unit", "timeout: 5", []string{`1:10: batch: timeout: expected a duration, got "5"; add a unit: 5s, 5ms, …`}},
		{"duration with a wrong unit", "timeout: 5 sec", []string{`1:10: batch: timeout: expected a duration, got "5 sec"; write a number with a unit (ns, us, ms, s, m, h, d, w), such as 500ms or 1h30m (" sec" is not a unit of time)`}},
		{"huge duration", "timeout: 999999999w", []string{`1:10: batch: timeout: "999999999w" is too large; use a smaller one`}},
		{"size with a wrong unit", "max_bytes: 5 floppies", []string{`1:12: batch: max_bytes: expected a size in bytes, got "5 floppies"; write a number of bytes, or one with a unit such as 64KiB or 10MB ("floppies" is not a unit of size)`}},
		{"small size", "max_bytes: 15B", []string{`1:12: batch: max_bytes 15 is below the minimum 16; use at least 16`}},
		{"yes for true", "declare: yes", []string{`1:10: batch: declare: expected true or false, got "yes"; write true`}},
		{"quoted true", "declare: 'true'", []string{`1:10: batch: declare: expected true or false, got "true"; remove the quotes`}},
		{"near miss of a choice", "format: jsno", []string{`1:9: batch: format: expected one of json or csv, got "jsno"; did you mean "json"?`}},
		{"near miss of a key", "siez: 1", []string{`1:1: batch: unknown key "siez"; did you mean "size"?`}},
		{"empty text", "path: ''", []string{`1:7: batch: path is empty; give it a value`}},
		{"empty list", "columns: []", []string{`1:10: batch: columns is empty; give it a value`}},
		{"mapping in a list", "columns: [a, {b: c}]", []string{`1:14: batch: columns: expected text, got a mapping`}},
		{"empty path", "by: [a, '']", []string{`1:9: batch: by: the name of a field is empty; name a field, or remove it`}},
		{"missing in an object", "emit: {}", []string{`1:7: batch: emit: every is missing; add "every:": How often`}},
		{"empty object", "emit:", []string{`1:1: batch: emit: every is missing; add "every:": How often`}},
		{"text for an object", "emit: soon", []string{`1:7: batch: emit: expected a mapping of keys to values, got "soon"; write "key: value" lines, indented below`}},
		{"check of an object", "emit: {every: 13s}", []string{`1:7: batch: emit: 13s brings bad luck; use 12s`}},
		{"check is skipped behind an error", "emit: {every: 13s, x: 1}", []string{`1:20: batch: emit: unknown key "x"; known: every`}},
		{"objects", "branches:\n  - name: a\n  - nme: b\n    when: ok\n  - 3", []string{
			`3:5: batch: branches: unknown key "nme"; did you mean "name"?`,
			`5:5: batch: branches: expected a mapping of keys to values, got "3"; write "key: value" lines, indented below`,
		}},
		{"object for objects", "branches: {name: a}", []string{`1:11: batch: branches: expected a list, got a mapping; start each entry with "- "`}},
		{"object map", "types:\n  a: {type: txt}\n  b:", []string{`2:13: batch: types: a: type: expected one of text or number, got "txt"; did you mean "text"?`}},
		{"conflict", "size: 1\nbig: 2", []string{`2:1: batch: size and big cannot be given together; keep one of them`}},
		{"root of a wrong kind", "- a", []string{`1:1: batch: expected a mapping of keys to values, got a list; write "key: value" lines, indented below`}},
		{"unset variable", "path: a${NOPE}b", []string{`1:7: batch: path: environment variable NOPE is not set; set it, or write ${NOPE:-default}`}},
		{"unknown param", `size: "${params.lane}"`, []string{`1:7: batch: size: unknown param "lane"; did you mean "lanes"?`}},
		{"param as variable", `size: "${lanes}"`, []string{`1:7: batch: size: environment variable lanes is not set; a param is written ${params.lanes}`}},
		{"open reference", `path: "${x"`, []string{`1:7: batch: path: "${x" has no closing brace; close it with "}", or write "$${" for a literal "${"`}},
		{"odd reference", `path: "${a b}"`, []string{`1:7: batch: path: ${a b} is not a reference; write ${NAME}, ${NAME:-default} or ${params.name}; "$${" is a literal "${"`}},
		{"wrong variable is not shown", `size: "${WORD}"`, []string{`1:7: batch: size: expected a whole number, got the value of ${WORD}`}},
		{"variable out of bounds", `size: "${PORT}000"`, []string{`1:7: batch: size 80000 (from ${PORT}000) is above the maximum 1000; use at most 1000`}},
		{"secret list is not shown", "password: [hunter2]", []string{`1:11: batch: password: expected text, got a list`}},
		{"secret variable is not shown", "password: \"${EMPTY}\"", []string{`1:11: batch: password is empty; give it a value`}},
		{"all of them, by position", "zzz: 1\nsize: x\ntimeout: 1", []string{
			`1:1: batch: unknown key "zzz"`,
			`2:7: batch: size: expected a whole number, got "x"`,
			`3:10: batch: timeout: expected a duration, got "1"; add a unit: 1s, 1ms, …`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, diags, _ := load(t, tt.src, testEnv, testParams)
			if got := texts(diags); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestDefaultsHoldWhereNothingIsWritten(t *testing.T) {
	c, diags, _ := load(t, "{}", nil, nil)
	if len(diags) > 0 {
		t.Fatal(texts(diags))
	}
	if c.Size != 100 || c.Big != 7 || c.Ratio != 0.5 || c.Timeout != time.Second || c.MaxBytes != 1<<20 || !c.Declare ||
		c.Format != "json" || c.Every != time.Minute || c.HasEmit || c.Where.Given() || c.Stages != nil {
		t.Errorf("got %+v", c)
	}
}

func TestValuesAreTakenAsWritten(t *testing.T) {
	c, diags, scope := load(t, `size: "${params.lanes}"
ratio: ${params.ratio}
timeout: 1d12h
max_bytes: 64KiB
path: "$${HOME}/${params.name}-${PORT}${EMPTY:-e}${NOPE:-}"
password: p@ss
declare: "${params.on}"
format: csv
columns: one
where: "x > 1"
set: {b: "1", a: x + 1, c: true}
field: user.id
by: [a, b]
headers: {z: 1, a: two}
emit: {every: 2w}
branches: [{name: n, when: 'a == "b"'}]
types: {q: {type: number}, p: }
stages: [{x: 1}]
`, testEnv, testParams)
	if len(diags) > 0 {
		t.Fatal(texts(diags))
	}
	if c.Size != 4 || c.Ratio != 0.25 || c.Timeout != 36*time.Hour || c.MaxBytes != 64<<10 || c.Path != "${HOME}/x-80e" ||
		c.Password != "p@ss" || !c.Declare || c.Format != "csv" || !slices.Equal(c.Columns, []string{"one"}) ||
		c.Every != 14*24*time.Hour || !c.HasEmit || len(c.Stages.Content) != 1 || !slices.Equal(c.Types, []string{"q=number", "p=text"}) {
		t.Errorf("got %+v", c)
	}
	var set []string
	for _, e := range c.Set {
		set = append(set, e.Name.Value+"="+e.Expr.Value+"@"+e.Name.Span.Start.String()+"@"+e.Expr.Span.Start.String())
	}
	if want := []string{"b=1@11:7@11:10", "a=x + 1@11:15@11:18", "c=true@11:25@11:28"}; !slices.Equal(set, want) {
		t.Errorf("set: got %v, want %v", set, want)
	}
	if c.Headers[0].Key.Value != "z" || c.Headers[0].Value.Value != "1" || c.Headers[1].Value.Value != "two" {
		t.Errorf("headers: %+v", c.Headers)
	}
	if c.By[1].Value != "b" || c.By[1].Span.Start.String() != "13:9" {
		t.Errorf("by: %+v", c.By)
	}
	if got := c.Branches[0].When; got.Value != `a == "b"` || got.At(5, 8).Start.String() != "16:34" {
		t.Errorf("when: %+v at %v", got, got.At(5, 8))
	}
	if got := scope.Uses["lanes"]; len(got) != 1 || got[0].Start.String() != "1:7" || got[0].End.String() != "1:24" {
		t.Errorf("uses: %v", scope.Uses)
	}
}

func TestAtFindsPlacesInsideText(t *testing.T) {
	for _, tt := range []struct {
		src        string
		from, to   int
		start, end string
	}{
		{`where: abc + d`, 6, 7, "1:14", "1:15"},
		{`where: "é + d"`, 4, 5, "1:13", "1:14"},
		{`where: "a\t+ d"`, 3, 4, "1:8", "1:16"}, // an escape: the whole text
		{"where: |\n  a +\n  bc", 5, 6, "3:4", "3:5"},
		{"where: >\n  a +\n  bc", 5, 6, "1:8", ""},
	} {
		c, diags, _ := load(t, tt.src, nil, nil)
		if got := c.Where.At(tt.from, tt.to); got.Start.String() != tt.start || got.End.String() != tt.end {
			t.Errorf("%q: got %v to %v, want %s to %s (%v)", tt.src, got.Start, got.End, tt.start, tt.end, diags)
		}
	}
}
