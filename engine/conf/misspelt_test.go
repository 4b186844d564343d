package conf_test

import (
	"slices"
	"testing"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

func TestAMisspeltKeyThatIsNeededIsReportedOnce(t *testing.T) {
	for src, want := range map[string][]string{
		"{pth: a, size: 1}":          {`1:2: x: unknown key "pth"; did you mean "path"?`},
		"{path: a, szie: 1}":         {`1:11: x: unknown key "szie"; did you mean "size"?`},
		"{path: a, by: 1}":           {`1:1: x: one of size or count is needed; give exactly one of them`, `1:11: x: unknown key "by"; known: path, size, count`},
		"{zebra: a, count: 1}":       {`1:1: x: path is missing; add "path:": The path`, `1:2: x: unknown key "zebra"; known: path, size, count`},
		"{pth: a, path: b, szie: 1}": {`1:2: x: unknown key "pth"; did you mean "path"?`, `1:19: x: unknown key "szie"; did you mean "size"?`},
	} {
		var diags diag.List
		f := conf.NewFields(&conf.Scope{File: "f", Diags: &diags}, conf.Parse("f", []byte(src), conf.Limits{}, &diags), "x")
		var path string
		var size, count int
		f.String(&path, "path", "", "The path.").Required()
		f.Int(&size, "size", 0, "The size.")
		f.Int(&count, "count", 0, "The count.")
		f.OneOf("size", "count")
		if f.Finish() {
			t.Errorf("%s: it is right", src)
		}
		diags.Sort()
		if got := texts(diags); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", src, got, want)
		}
	}
}

func TestWhatNamesAParamWithoutAValueIsNotReported(t *testing.T) {
	var diags diag.List
	scope := &conf.Scope{File: "f", Params: map[string]any{"x": nil}, Diags: &diags}
	f := conf.NewFields(scope, conf.Parse("f", []byte(`{path: "a/${params.x}", size: "${params.x}"}`), conf.Limits{}, &diags), "")
	var path string
	var size int
	f.String(&path, "path", "", "The path.").Required().NotEmpty()
	f.Int(&size, "size", 7, "The size.").Min(1)
	if f.Finish() || len(diags) > 0 || path != "" || size != 7 {
		t.Errorf("path %q, size %d: %v", path, size, diags)
	}
}
