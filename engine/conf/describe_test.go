package conf_test

import (
	"encoding/json"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
)

func TestDescribeListsWhatTheDeclarationSays(t *testing.T) {
	doc := conf.Describe(new(config).bind)
	byName := map[string]*conf.FieldDoc{}
	for _, f := range doc.Fields {
		byName[f.Name] = f
	}
	if f := byName["timeout"]; f.Type != conf.TypeDuration || f.Default != "1s" || f.Min != "1ms" || f.Required {
		t.Errorf("timeout: %+v", f)
	}
	if f := byName["branches"]; f.Kind != conf.KindList || len(f.Fields) != 2 || !f.Fields[0].Required {
		t.Errorf("branches: %+v", f)
	}
	if f := byName["password"]; !f.Secret || f.Default != "" {
		t.Errorf("password: %+v", f)
	}
	if len(doc.Rules) != 1 || doc.Rules[0].Needed {
		t.Errorf("rules: %+v", doc.Rules)
	}
}

func TestMarkdownIsATableWithDottedRows(t *testing.T) {
	var b strings.Builder
	if err := conf.Describe(new(config).bind).Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `size` | integer | `100` | Emit once this many records are held. From 1 to 1000. |\n",
		"| `max_bytes` | size | `1MiB` | The most bytes. At least 16. |\n",
		"| `password` | string | – | The password. Secret: never shown. |\n",
		"| `format` | `json`, `csv` | `json` | The format. |\n",
		"| `columns` | list of strings | – | The columns. |\n",
		"| `set` | map of expressions | – | New fields. |\n",
		"| `emit.every` | duration | required | How often. |\n",
		"| `branches[].name` | string | required | The name. |\n",
		"| `types.<name>.type` | `text`, `number` | `text` | The type. |\n",
		"\nAt most one of `size` and `big` may be given.\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestSchemaSaysWhatDecodingTakes(t *testing.T) {
	schema := conf.Describe(new(config).bind).Schema()
	raw, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		AdditionalProperties bool
		Properties           map[string]json.RawMessage
		AllOf                json.RawMessage
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"size":     `{"anyOf":[{"maximum":1000,"minimum":1,"type":"integer"},{"pattern":"\\$\\{.+\\}","type":"string"}],"default":100,"description":"Emit once this many records are held."}`,
		"format":   `{"anyOf":[{"enum":["json","csv"]},{"pattern":"\\$\\{.+\\}","type":"string"}],"default":"json","description":"The format."}`,
		"password": `{"description":"The password.","format":"password","minLength":1,"type":["string","number","boolean"]}`,
		"stages":   `{"description":"The stages.","type":"array"}`,
		"emit":     `{"additionalProperties":false,"description":"When to emit.","properties":{"every":{"anyOf":[{"pattern":"^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w))+$","type":"string"},{"pattern":"\\$\\{.+\\}","type":"string"}],"description":"How often."}},"required":["every"],"type":"object"}`,
		"by":       `{"anyOf":[{"minLength":1,"type":["string","number"]},{"items":{"minLength":1,"type":["string","number"]},"type":"array"}],"description":"The key."}`,
	} {
		if got := string(s.Properties[name]); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
	if s.AdditionalProperties || string(s.AllOf) != `[{"not":{"required":["size","big"]}}]` {
		t.Errorf("got %s", raw)
	}
}

func TestWholeTakesAnyKind(t *testing.T) {
	var n *yaml.Node
	bind := func(f *conf.Fields) { f.Whole(&n, "The steps, in order.").Schema(map[string]any{"type": "array"}) }
	_, diags, scope := load(t, "{}", nil, nil)
	for _, src := range []string{"[a, b]", "{x: 1}", "text"} {
		root := conf.Parse("f", []byte(src), conf.Limits{}, &diags)
		f := conf.NewFields(scope, root, "process")
		bind(f)
		if !f.Finish() || n != root {
			t.Errorf("%s: %v", src, diags)
		}
	}
	doc := conf.Describe(bind)
	if got := doc.Schema()["type"]; got != "array" {
		t.Errorf("schema: %v", got)
	}
}
