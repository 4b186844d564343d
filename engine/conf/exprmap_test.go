package conf_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

// bindSums declares a map whose entries are expressions, or objects with a condition.
func bindSums(got *[]string) func(f *conf.Fields) {
	return func(f *conf.Fields) {
		conf.ExprMap(f, "sums", "value", "The sums.", func(key conf.Text, f *conf.Fields) {
			var value, where conf.Expr
			f.Expr(&value, "value", "What to add.").Required()
			f.Expr(&where, "where", "Which records.")
			*got = append(*got, fmt.Sprintf("%s=%s[%s]", key.Value, value.Value, where.Value))
		}).Required().NotEmpty()
	}
}

func TestEntriesOfAnExprMapAreExpressionsOrObjects(t *testing.T) {
	for _, tc := range []struct {
		src  string
		want []string // what is bound, or the problems
	}{
		{"sums:\n  b: \"x + 1\"\n  a: {value: y, where: \"y > 0\"}\n  c: 5", []string{"b=x + 1[]", "a=y[y > 0]", "c=5[]"}},
		{"sums:\n  a: {where: y}", []string{"2:6: stage: sums: a: value is missing"}},
		{"sums:\n  a: {value: y, wher: z}", []string{`2:17: stage: sums: a: unknown key "wher"; did you mean "where"?`}},
		{"sums:\n  a: {value: [y]}", []string{"2:14: stage: sums: a: value: expected an expression, got a list"}},
		{"sums:\n  a: [y]", []string{"2:6: stage: sums: a: expected an expression, got a list"}},
		{"sums:\n  a:\n  b: y", []string{"2:3: stage: sums: a: the expression is empty"}},
		{"sums:\n  a: # x", []string{`2:3: stage: sums: a: the expression is empty, since "#" starts a comment`}},
		{"sums:\n  a: \"${X}\"", []string{"2:6: stage: sums: a: ${X} cannot stand in an expression"}},
		{"sums: y", []string{`1:7: stage: sums: expected a mapping of names to expressions, got "y"`}},
		{"sums: {}", []string{"1:7: stage: sums is empty"}},
	} {
		var diags diag.List
		var got []string
		root := conf.Parse("f", []byte(tc.src), conf.Limits{}, &diags)
		f := conf.NewFields(&conf.Scope{File: "f", Source: []byte(tc.src), Diags: &diags}, root, "stage")
		bindSums(&got)(f)
		if ok := f.Finish(); ok == diags.HasErrors() {
			t.Errorf("%s: Finish is %v, the problems are %v", tc.src, ok, diags)
		}
		if diags.HasErrors() {
			got = nil
			for _, d := range diags {
				got = append(got, strings.TrimPrefix(d.String(), "f:"))
			}
		}
		if len(got) != len(tc.want) || !slices.EqualFunc(got, tc.want, strings.HasPrefix) {
			t.Errorf("%s:\ngot  %q\nwant %q", tc.src, got, tc.want)
		}
	}
}

func TestAnExprMapDescribesBothForms(t *testing.T) {
	var got []string
	doc := conf.Describe(bindSums(&got))
	var page strings.Builder
	if err := doc.Markdown(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `sums` | map of expressions or objects | required | The sums. |\n",
		"| `sums.<name>.value` | expression | required | What to add. |\n",
		"| `sums.<name>.where` | expression | – | Which records. |\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
	raw, err := json.Marshal(doc.Schema())
	if err != nil {
		t.Fatal(err)
	}
	const want = `"additionalProperties":{"anyOf":[{"type":["string","number","boolean"]},{"additionalProperties":false,"properties":` +
		`{"value":{"description":"What to add.","type":["string","number","boolean"]},"where":{"description":"Which records.","type":["string","number","boolean"]}},` +
		`"required":["value"],"type":"object"}]},"description":"The sums.","minProperties":1,"type":"object"`
	if !strings.Contains(string(raw), want) {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

func TestOptionalFieldsShowNoDefault(t *testing.T) {
	doc := conf.Describe(func(f *conf.Fields) {
		var d time.Duration
		var b bool
		f.Duration(&d, "idle", 0, "How long.").Optional().Min(time.Millisecond)
		f.Bool(&b, "global", false, "Whether.").Optional()
		f.Duration(&d, "late", 0, "How late.")
	})
	var page strings.Builder
	if err := doc.Markdown(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `idle` | duration | – | How long. At least 1ms. |\n", "| `global` | boolean | – | Whether. |\n", "| `late` | duration | `0s` | How late. |\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
	properties := doc.Schema()["properties"].(map[string]any)
	for name, want := range map[string]any{"idle": nil, "global": nil, "late": "0s"} {
		if got := properties[name].(map[string]any)["default"]; got != want {
			t.Errorf("%s: the schema has the default %v, want %v", name, got, want)
		}
	}
}
