package stage

import (
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
)

func TestPartsOfAKeyHaveSensibleNames(t *testing.T) {
	for by, want := range map[string]string{
		"line_id":                         "line_id",
		"user.id":                         "id",
		"user?.address.zip":               "zip",
		"tags[0]":                         "tags",
		"users[1].id":                     "id",
		`user["first name"]`:              "first name",
		`$env["a.b"]`:                     "a.b",
		"upper(a)":                        "key",
		"upper(a) | lower(b)":             "key | key_2",
		"upper(a) | b | lower(c) | d + 1": "key | b | key_2 | key_3",
		"key | upper(a) | lower(b) | x.key_3 | a + 'b'": "key | key_2 | key_4 | key_3 | key_5",
		"user.id | machine.id":                          "id | id", // reported by who needs the names
	} {
		var diags diag.List
		b := &Builder{Name: "s", Diags: &diags, Layout: record.NewLayout(), Schema: &expr.Schema{Open: true}}
		var texts []conf.Text
		for part := range strings.SplitSeq(by, " | ") {
			texts = append(texts, conf.Text{Value: part})
		}
		var got []string
		for _, f := range b.KeyBy(texts).Fields {
			got = append(got, f.Name)
		}
		if diags.HasErrors() || strings.Join(got, " | ") != want {
			t.Errorf("by %s: %q, want %q; %v", by, got, want, diags)
		}
	}
}
