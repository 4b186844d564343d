package change_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
)

const file = "name: a\nsource: {file: {path: x}}\nsink: {stdout: {}}\n"

// told is a change as one line.
func told(c change.Change) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		parts = append(parts, fmt.Sprintf("%s=%s (%s)", name, c.Set[name], c.Types[name]))
	}
	for _, name := range c.Unset {
		parts = append(parts, "-"+name)
	}
	if c.BaseVersion != "" {
		parts = append(parts, "base "+c.BaseVersion)
	}
	if c.Source != nil {
		parts = append(parts, fmt.Sprintf("%d bytes", len(c.Source)))
	}
	return strings.Join(parts, " ")
}

func TestAMessageIsParamsOrAFlowFile(t *testing.T) {
	tests := []struct{ body, contentType, want string }{
		{`{"producer_concurrency": 4, "rate_limit_interval": 1000}`, "", "producer_concurrency=4 (number) rate_limit_interval=1000 (number)"},
		{"\xef\xbb\xbf {\"a\": \"007\", \"b\": true, \"c\": -1.50e2}", "text/plain", "a=007 (text) b=true (bool) c=-1.50e2 (number)"},
		{`{"a": 12345678901234567890}`, "application/json; charset=utf-8", "a=12345678901234567890 (number)"},
		{`{"a": "\u00e9\n"}`, "", "a=é\n (text)"},
		{`{"params": {"a": 1}, "unset": ["b"], "base_version": "abc"}`, "application/json", "a=1 (number) -b base abc"},
		{`{"unset": ["b", "c"]}`, "", "-b -c"},
		{`{"params": 5, "unset": "x", "source": "y"}`, "", "params=5 (number) source=y (text) unset=x (text)"},
		{file, "", fmt.Sprintf("%d bytes", len(file))},
		{file, "application/x-yaml", fmt.Sprintf("%d bytes", len(file))},
		{"sources: [{file: {path: x}}]", "", "28 bytes"},
		{`{"source": {"file": {"path": "x"}}, "sink": {"stdout": {}}}`, "", "59 bytes"},
		{`{source: {file: {path: x}}}`, "text/yaml", "27 bytes"},
	}
	for _, test := range tests {
		c, problems := change.Parse("flow", []byte(test.body), test.contentType)
		if problems.HasErrors() {
			t.Errorf("%s: %v", test.body, problems.Err())
		}
		if got := told(c); got != test.want {
			t.Errorf("%s: %s, want %s", test.body, got, test.want)
		}
		if c.Flow != "flow" || c.From != "queue" || c.File != "" {
			t.Errorf("%s: %+v", test.body, c)
		}
	}
}

func TestAMessageThatIsNoChangeSaysWhy(t *testing.T) {
	deep := "source: " + strings.Repeat("[", 100) + strings.Repeat("]", 100)
	tests := []struct{ body, contentType, want string }{
		{"", "", "the message is empty"},
		{" \n", "application/json", "the message is empty"},
		{"{}", "", "1:1: the message changes nothing"},
		{`{"params": {}}`, "", "1:1: the message changes nothing"},
		{"\x00\x01\x02", "", "not text"},
		{"\xff\xfe{}", "", "not UTF-8"},
		{"{\"a\": \"\xff\"}", "", "1:8: the message is not text: byte 0xff is not UTF-8"},
		{"hello", "", "neither a JSON object nor a flow file: it is no mapping"},
		{"limit: 5", "", "neither a JSON object nor a flow file: it has no source"},
		{"[1, 2]", "", "neither a JSON object nor a flow file: it is no mapping"},
		{"[1, 2]", "application/json", "1:1: the message is no JSON object"},
		{"source: {file: {path: x}}", "application/json", "1:1: the message is not valid JSON: invalid character 's'"},
		{"{\n  \"a\": 1,\n  \"b\": tru\n}", "", "3:11: the message is not valid JSON"},
		{`{"a": 1, "b": }`, "", "1:15: the message is not valid JSON"},
		{`{"a": 1`, "", "1:7: the message is not valid JSON: unexpected end of JSON input"},
		{`{"a": 1} {"b": 2}`, "", "1:10: the message is not valid JSON: invalid character '{' after top-level value"},
		{`{"a": 1, "a": 2}`, "", `1:15: the message has "a" twice`},
		{`{"a": {"b": 1}}`, "", `1:7: param "a" cannot be an object`},
		{`{"a": [1]}`, "", `param "a" cannot be a list`},
		{`{"a": null}`, "", `param "a" cannot be null; to leave it to its default again, send {"unset": ["a"]}`},
		{`{"a": null, "b": []}`, "", `param "b" cannot be a list`},
		{`{"params": {"a": null}}`, "", `1:18: params: param "a" cannot be null`},
		{`{"params": {"a": 1, "a": 1}}`, "", `params has "a" twice`},
		{`{"params": {"a": 1}, "unset": "b"}`, "", "unset: expected a list, got a text"},
		{`{"unset": [1]}`, "", "unset: expected a list of names"},
		{`{"params": {"a": 1}, "base_version": 5}`, "", "base_version: expected a text, got a number"},
		{`{"params": {"a": 1}, "base_versoin": "x"}`, "", `unknown key "base_versoin"; did you mean "base_version"?`},
		{`{"params": {"a": 1}, "unset": ["a"]}`, "", `param "a" is both set and unset`},
		{"source: [", "", "1:9"},
		{deep, "", "nested deeper than"},
		{`{"a": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}", "", "not valid JSON"},
		{strings.Repeat(" ", 10<<20) + "{}", "", "more than 1048576 bytes"},
	}
	for _, test := range tests {
		name := test.body[:min(60, len(test.body))]
		began := time.Now()
		c, problems := change.Parse("flow", []byte(test.body), test.contentType)
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%q took %v", name, took)
		}
		if got := fmt.Sprint(problems.Err()); !strings.Contains(got, test.want) {
			t.Errorf("%q: %s, want %s", name, got, test.want)
		}
		if told(c) != "" || c.Flow != "flow" {
			t.Errorf("%q is refused and asks for %+v", name, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, body := range []string{
		`{"rate_limit_allowed": 500}`, `{"params": {"a": 1.5, "b": "x"}, "unset": ["c"], "base_version": "v"}`, file, `{"a": "\ud800"}`,
		`{"source": {"a": [1, {"b": null}]}}`, "{\"a\": 1}x", "- a\n", "source: &a [*a]", "{'source': 1}", "[", "\ufeff{}", `{"a": {"b": {"c": 1}}}`,
	} {
		f.Add([]byte(body), "")
		f.Add([]byte(body), "application/json")
	}
	f.Add([]byte("{source: 1}"), "application/yaml")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		c, problems := change.Parse("flow", body, contentType)
		changes := len(c.Set) > 0 || len(c.Unset) > 0 || c.Source != nil
		if changes == problems.HasErrors() {
			t.Fatalf("changes something: %v, problems: %v", changes, problems.Err())
		}
		for _, p := range problems {
			if p.Message == "" {
				t.Fatalf("%+v", p)
			}
		}
		for name := range c.Set {
			if c.Types[name] == "" {
				t.Fatalf("%q has no type", name)
			}
		}
	})
}
