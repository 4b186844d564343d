package conf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

func TestParseRefusesWhatNoFileShouldHave(t *testing.T) {
	small := conf.Limits{Bytes: 200, Depth: 4, Nodes: 30}
	for _, tt := range []struct {
		name, src string
		want      []string
	}{
		{"empty", "", []string{`1:1: the file is empty; write a YAML mapping`}},
		{"only a comment", "# x\n", []string{`1:1: the file is empty; write a YAML mapping`}},
		{"too large", strings.Repeat("#", 201), []string{`1:1: the file has 201 bytes, more than the limit of 200; split it`}},
		{"not UTF-8", "a: b\nc: \xff", []string{`2:4: the file is not text: byte 0xff is not UTF-8; save it as UTF-8`}},
		{"NUL", "a: é\x00", []string{`1:5: the file is not text: it has a NUL byte; save it as UTF-8`}},
		{"two documents", "a: 1\n---\nb: 2\n", []string{`3:1: the file has a second document; remove the "---", or move what follows to a file of its own`}},
		{"duplicate key", "a: {b: 1,\n  c: 2, b: 3}", []string{`2:9: duplicate key "b"; it is first at 1:5; keep one of them`}},
		{"duplicates in a list", "- {a: 1, a: 2}\n- {b: 1, \"b\": 2}", []string{
			`1:10: duplicate key "a"; it is first at 1:4; keep one of them`,
			`2:10: duplicate key "b"; it is first at 2:4; keep one of them`}},
		{"deep", "a: {b: {c: {d: {e: 1}}}}", []string{`1:17: the file is nested deeper than 4 levels; nest less`}},
		{"many values", "[" + strings.Repeat("1,", 40) + "]", []string{`1:60: the file has more than 30 values after its aliases are expanded; use fewer aliases, or split it`}},
		{"alias bomb", "a: &a [1,1,1,1]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]", []string{`2:4: the file has more than 30 values after its aliases are expanded; use fewer aliases, or split it`}},
		{"anchor in itself", "a: &a {b: *a}", []string{`1:11: anchor "a" contains itself; remove the alias, or write out what it stands for`}},
		{"anchor in itself, in a list", "a: &a [*a]", []string{`1:8: anchor "a" contains itself; remove the alias, or write out what it stands for`}},
		{"list as key", "? [a]\n: b", []string{`1:3: expected a name as key, got a list; write "name: value"; quote an expression that starts with "{", "[" or "?"`}},
		{"merge of a scalar", "<<: 3\na: 1", []string{`1:5: <<: expected a mapping to merge, or a list of them, got "3"; name an anchor: <<: *name`}},
		{"tag on a list", "a: !x [1]", []string{`1:4: a: "!x" is read as a YAML tag; quote the expression, or remove the tag`}},
		{"open quote", "a: 1\nb: 'x\nc: 2", []string{`2:4: the quote is not closed; close it; inside single quotes, write ' as ''`}},
		{"open bracket", "a: [x, y\nb: 2", []string{`1:8: a comma or the closing "]" is missing; close the bracket, or quote the expression`}},
		{"bad escape", `a: "\q"`, []string{`1:5: a backslash in double quotes starts an escape that YAML does not know; write it twice, or use single quotes around the value`}},
		{"odd indentation", "a:\n  b: 1\n c: 2", []string{`3:2: the line does not fit the lines above it; check the indentation, and whether the value above is complete`}},
		{"list and mapping", "- a\nb: c", []string{`2:2: the line does not continue the list above it; start it with "- ", or align it with the key that it belongs to`}},
		{"no colon", "a: b\nnokey\nc: d", []string{`2:1: expected a key and ":"; write "key: value"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var diags diag.List
			conf.Parse("f", []byte(tt.src), small, &diags)
			diags.Sort()
			if got := texts(diags); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestParseExpandsAliasesAndMergeKeys(t *testing.T) {
	for src, want := range map[string]string{
		"a: &x {p: 1}\nb: *x":                                  "{a: {p: 1}, b: {p: 1}}",
		"a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3, r: 4}":          "{a: {p: 1, q: 2}, b: {p: 1, q: 3, r: 4}}",
		"a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc:\n  <<: [*x, *y]": "{a: {p: 1}, b: {p: 2, q: 2}, c: {p: 1, q: 2}}",
		"a: &x [1, &y 2]\nb: [*y, *x]":                         "{a: [1, 2], b: [2, [1, 2]]}",
		"\"<<\": 1":                                            "{<<: 1}",
		"\ufeffa: 1":                                           "{a: 1}",
	} {
		var diags diag.List
		root := conf.Parse("f", []byte(src), conf.Limits{}, &diags)
		if got := show(root); got != want || len(diags) > 0 {
			t.Errorf("%q: got %s, want %s; %v", src, got, want, diags)
		}
	}
}

func show(n *yaml.Node) string {
	var parts []string
	switch {
	case n == nil:
		return "nil"
	case n.Kind == yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			parts = append(parts, show(n.Content[i])+": "+show(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case n.Kind == yaml.SequenceNode:
		for _, c := range n.Content {
			parts = append(parts, show(c))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case n.Kind == yaml.ScalarNode:
		return n.Value
	}
	return fmt.Sprintf("kind %d", n.Kind)
}

// FuzzParse: whatever the bytes, Parse and decoding end without a panic, the tree is within the limits
// and without aliases, and where there is no tree there is an error.
func FuzzParse(f *testing.F) {
	limits := conf.Limits{Bytes: 4096, Depth: 8, Nodes: 200}
	f.Fuzz(func(t *testing.T, src []byte) {
		var diags diag.List
		root := conf.Parse("f", src, limits, &diags)
		if root == nil {
			if !diags.HasErrors() {
				t.Error("no tree and no error")
			}
			return
		}
		if nodes := measure(t, root, 0); nodes > limits.Nodes {
			t.Errorf("%d nodes", nodes)
		}
		c := &config{}
		fields := conf.NewFields(&conf.Scope{File: "f", Source: src, Diags: &diags}, root, "x")
		c.bind(fields)
		fields.Finish()
		for _, d := range diags {
			if d.Span.Start.Line < 1 || d.Span.Start.Col < 1 {
				t.Errorf("no position: %v", d)
			}
		}
	})
}

func measure(t *testing.T, n *yaml.Node, depth int) int {
	if n.Kind == yaml.AliasNode || n.Alias != nil {
		t.Error("an alias is left")
	}
	if depth > 8 {
		t.Error("too deep")
	}
	count := 1
	for _, c := range n.Content {
		count += measure(t, c, depth+1)
	}
	return count
}
