package flow_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/flow"
)

// validator checks a document against the part of JSON Schema that the schema
// of a flow uses. A keyword that it does not know is a failure of the test.
type validator struct {
	t    *testing.T
	defs map[string]any
}

// schemaOf is the schema as an editor reads it.
func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	text, err := json.Marshal(flow.Schema(kinds()))
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check returns what is wrong with v, "" if nothing.
func (v *validator) check(schema map[string]any, doc any, at string) string {
	for keyword, arg := range schema {
		if wrong := v.keyword(schema, keyword, arg, doc, at); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (v *validator) keyword(schema map[string]any, keyword string, arg, doc any, at string) string {
	object, isObject := doc.(map[string]any)
	list, isList := doc.([]any)
	text, isText := doc.(string)
	number, isNumber := doc.(float64)
	fail := func(format string, args ...any) string { return at + ": " + fmt.Sprintf(format, args...) }
	switch keyword {
	case "$schema", "$defs", "title", "description", "default", "format":
	case "$ref":
		def, ok := v.defs[strings.TrimPrefix(arg.(string), "#/$defs/")].(map[string]any)
		if !ok {
			v.t.Fatalf("%s: %v leads nowhere", at, arg)
		}
		return v.check(def, doc, at)
	case "type":
		types, ok := arg.([]any)
		if !ok {
			types = []any{arg}
		}
		if !slices.ContainsFunc(types, func(name any) bool { return isType(doc, name.(string)) }) {
			return fail("%v is not of type %v", doc, arg)
		}
	case "properties":
		for name, sub := range arg.(map[string]any) {
			if value, ok := object[name]; ok {
				if wrong := v.check(sub.(map[string]any), value, at+"."+name); wrong != "" {
					return wrong
				}
			}
		}
	case "additionalProperties":
		return v.additional(schema, arg, object, at)
	case "propertyNames":
		for name := range object {
			if wrong := v.check(arg.(map[string]any), name, at); wrong != "" {
				return wrong
			}
		}
	case "required":
		for _, name := range arg.([]any) {
			if _, ok := object[name.(string)]; isObject && !ok {
				return fail("%v is missing", name)
			}
		}
	case "items":
		for i, item := range list {
			if wrong := v.check(arg.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i)); wrong != "" {
				return wrong
			}
		}
	case "minItems":
		if isList && float64(len(list)) < arg.(float64) {
			return fail("too few items")
		}
	case "minProperties":
		if isObject && float64(len(object)) < arg.(float64) {
			return fail("too few keys")
		}
	case "minLength":
		if isText && float64(len(text)) < arg.(float64) {
			return fail("too short")
		}
	case "minimum":
		if isNumber && number < arg.(float64) {
			return fail("%v is below %v", number, arg)
		}
	case "maximum":
		if isNumber && number > arg.(float64) {
			return fail("%v is above %v", number, arg)
		}
	case "pattern":
		if isText && !regexp.MustCompile(arg.(string)).MatchString(text) {
			return fail("%q does not match %v", text, arg)
		}
	case "enum":
		if !slices.ContainsFunc(arg.([]any), func(x any) bool { return reflect.DeepEqual(x, doc) }) {
			return fail("%v is not one of %v", doc, arg)
		}
	case "anyOf", "oneOf", "allOf":
		return v.combined(keyword, arg.([]any), doc, at)
	case "not":
		if v.check(arg.(map[string]any), doc, at) == "" {
			return fail("it is what it must not be: %v", arg)
		}
	default:
		v.t.Fatalf("%s: the schema has the unknown keyword %q", at, keyword)
	}
	return ""
}

func (v *validator) additional(schema map[string]any, arg any, object map[string]any, at string) string {
	properties, _ := schema["properties"].(map[string]any)
	for name, value := range object {
		if _, ok := properties[name]; ok {
			continue
		}
		if arg == false {
			return at + ": unknown key " + name
		}
		if wrong := v.check(arg.(map[string]any), value, at+"."+name); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (v *validator) combined(keyword string, schemas []any, doc any, at string) string {
	right, wrong := 0, ""
	for _, s := range schemas {
		if w := v.check(s.(map[string]any), doc, at); w == "" {
			right++
		} else {
			wrong = w
		}
	}
	switch {
	case keyword == "anyOf" && right > 0, keyword == "oneOf" && right == 1, keyword == "allOf" && right == len(schemas):
		return ""
	}
	return fmt.Sprintf("%s: %s holds for %d of %d (%s)", at, keyword, right, len(schemas), wrong)
}

func isType(doc any, name string) bool {
	switch doc := doc.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && doc == float64(int64(doc))
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// document is a YAML file as JSON has it.
func document(t *testing.T, src string) any {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(src), &doc); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	doc = nil
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func validate(t *testing.T, src string) string {
	t.Helper()
	schema := schemaOf(t)
	v := &validator{t: t, defs: schema["$defs"].(map[string]any)}
	return v.check(schema, document(t, src), "flow")
}

func TestTheSchemaAcceptsEveryGoodFlow(t *testing.T) {
	for _, file := range files(t, "testdata/good/*.yaml") {
		if wrong := validate(t, read(t, file)); wrong != "" {
			t.Errorf("%s: %s", filepath.Base(file), wrong)
		}
	}
	if wrong := validate(t, paramFlow); wrong != "" {
		t.Error(wrong)
	}
}

func TestTheSchemaRefusesWhatTheGrammarDoes(t *testing.T) {
	const sound = "source: {typed: {}}\nsink: {stdout: {}}\n"
	if wrong := validate(t, sound); wrong != "" {
		t.Fatal(wrong)
	}
	for _, src := range []string{
		"sink: {stdout: {}}\n",
		sound + "sources: [{typed: {}}]\n",
		sound + "sinks: [{stdout: {}}]\n",
		sound + "unknown: 1\n",
		sound + "stages: []\n",
		sound + "stages: [{name: x}]\n",
		sound + "stages: [{filter: a, set: {b: c}}]\n",
		sound + "stages: [{stdout: {}}]\n",
		sound + "stages: [{process: [{window: {tumbling: 1s, mean: a}}]}]\n",
		sound + "stages: [{partition: {by: a, lanes: 2000}}]\n",
		sound + "stages: [{partition: {lanes: 2}}]\n",
		sound + "stages: [{route: {branches: []}}]\n",
		sound + "stages: [{route: {branches: [{when: a, stages: [{fliter: b}]}]}}]\n",
		sound + "stages: [{on_change: drop, filter: a}]\n",
		sound + "late: {filter: a}\n",
		sound + "params: {Upper: 1}\n",
		sound + "durability: tape\n",
		sound + "checkpoint: {interval: often}\n",
		sound + "control: {queue: {post: {path: a}}}\n",
		sound + "control: {config_queue: {typed: {}}}\n",
		sound + "control: {config_queue: {}}\n",
	} {
		if validate(t, src) == "" {
			t.Errorf("the schema accepts\n%s", src)
		}
	}
}

// Whatever the reference pages show must itself be right.
func TestEveryExampleCompiles(t *testing.T) {
	frame := map[string]string{
		"flow":      "%s",
		"source":    "%ssink: {stdout: {}}\n",
		"sink":      "source: {file: {path: a}}\n%s",
		"stage":     "source: {file: {path: a}}\nsink: {stdout: {}}\nstages:\n%s",
		"partition": "", "process": "", "route": "",
	}
	for _, section := range append(flow.Describe(), flow.Grammar()...) {
		t.Run(section.Name, func(t *testing.T) {
			form, ok := frame[section.Name]
			if !ok {
				t.Fatal("no test for this section")
			}
			example := section.Example
			if form == "" || section.Name == "stage" {
				form = frame["stage"]
				example = "  - " + strings.TrimSpace(strings.ReplaceAll(example, "\n", "\n    ")) + "\n"
			}
			// The window of these tests has another aggregate.
			src := fmt.Sprintf(form, strings.ReplaceAll(example, `aggregate: {readings: "count()"}`, "mean: reading"))
			if _, list := compile(t, "example.yaml", src, options()); list.HasErrors() {
				t.Errorf("%v in\n%s", list.Err(), src)
			}
			if wrong := validate(t, src); wrong != "" {
				t.Errorf("%s in\n%s", wrong, src)
			}
		})
	}
}

func TestEveryKeyOfTheGrammarIsDocumented(t *testing.T) {
	var visit func(where string, fields []*conf.FieldDoc)
	visit = func(where string, fields []*conf.FieldDoc) {
		for _, f := range fields {
			if name := where + "." + f.Name; !strings.HasSuffix(f.Doc, ".") {
				t.Errorf("%s is documented as %q", name, f.Doc)
			}
			visit(where+"."+f.Name, f.Fields)
		}
	}
	for _, section := range append(flow.Describe(), flow.Grammar()...) {
		if section.Summary == "" || len(section.Doc.Fields) == 0 && section.Doc.Whole == nil {
			t.Errorf("%s says nothing", section.Name)
		}
		visit(section.Name, section.Doc.Fields)
	}
}
