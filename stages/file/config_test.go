package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// check binds and builds a kind from YAML and returns the problems.
func check(t *testing.T, k stage.Kind, yaml string, schema *expr.Schema) string {
	t.Helper()
	list := new(diag.List)
	node := conf.Parse("f.yaml", []byte(yaml), conf.Limits{}, list)
	scope := &conf.Scope{File: "f.yaml", Diags: list}
	f := conf.NewFields(scope, node, "")
	c := k.Decode(f)
	f.Finish()
	b := &stage.Builder{Name: "file", Diags: list, Layout: record.NewLayout(), Schema: schema}
	if k.Role == stage.RoleSource {
		k.Source(c, b)
	} else {
		k.Sink(c, b)
	}
	list.Sort()
	text := ""
	for _, d := range *list {
		text += d.String() + "\n"
	}
	return text
}

func TestProblemsOfTheConfigAreReportedWhereTheyStand(t *testing.T) {
	known := (&expr.Schema{}).With("sensor_id", expr.String)
	t.Chdir(t.TempDir())
	write(t, "a", "")
	write(t, "a.gz", "")
	for _, c := range []struct {
		kind stage.Kind
		yaml string
		want []string
	}{
		{Source(), Source().Example, nil},
		{Source(), `file: {path: "-"}`, nil},
		{Source(), `file: {}`, []string{"path is missing"}},
		{Source(), `file: {path: b.csv}`, []string{`f.yaml:1:14: warning: file: the file "b.csv" does not exist; paths are relative to the working directory`}},
		{Source(), `file: {path: "no/*.csv"}`, nil},
		{Source(), `file: {path: "a[.csv"}`, []string{"is not a glob"}},
		{Source(), `file: {path: "-", follow: true}`, []string{"standard input cannot be followed"}},
		{Source(), `file: {path: "*.log", follow: true}`, []string{"follow reads one file"}},
		{Source(), `file: {path: a.gz, follow: true}`, []string{"a compressed file cannot be followed"}},
		{Source(), `file: {path: a, csv: {delimiter: "::"}}`, []string{"more than one character"}},
		{Source(), `file: {path: a, csv: {delimiter: "\""}}`, []string{"cannot be the delimiter"}},
		{Source(), `file: {path: a, csv: {delimiter: tab, columns: [a, b], types: {b: int}}}`, nil},
		{Source(), `file: {path: a, csv: {header: false}}`, []string{"the columns have no names"}},
		{Source(), `file: {path: a, csv: {columns: [a, a]}}`, []string{`two columns are called "a"`}},
		{Source(), `file: {path: a, csv: {columns: [a], types: {b: int}}}`, []string{`column "b", which is not in the file`}},
		{Source(), `file: {path: a, csv: {types: {zip: text}}}`, []string{"f.yaml:1:36: ", `unknown type "text"`}},
		{Source(), `file: {path: a, max_record: 0}`, []string{"max_record"}},
		{Sink(), Sink().Example, nil},
		{Sink(), `file: {path: a, format: csv}`, []string{"csv needs columns"}},
		{Sink(), `file: {path: a, format: lines}`, []string{"lines needs field"}},
		{Sink(), `file: {path: a, columns: [b]}`, []string{"columns is for format: csv"}},
		{Sink(), `file: {path: a, field: b}`, []string{"field is for format: lines"}},
		{Sink(), `file: {path: "-"}`, []string{"use the sink stdout"}},
		{Sink(), `file: {path: a, format: csv, columns: ["a b"]}`, []string{"f.yaml:1:", "character 2"}},
	} {
		have := check(t, c.kind, c.yaml, nil)
		if c.want == nil && have != "" {
			t.Errorf("%s: %s", c.yaml, have)
		}
		for _, want := range c.want {
			if !strings.Contains(have, want) || strings.Count(have, "\n") != 1 {
				t.Errorf("%s: got %q, want %q", c.yaml, have, want)
			}
		}
	}
	have := check(t, Sink(), `file: {path: a, format: csv, columns: [sensor_id, sensorid]}`, known)
	if !strings.Contains(have, `unknown field "sensorid"; did you mean "sensor_id"?`) || !strings.Contains(have, "f.yaml:1:51") {
		t.Errorf("got %q", have)
	}
}

func TestTheFormatFollowsTheName(t *testing.T) {
	for path, want := range map[string]string{
		"a.csv": formatCSV, "a.CSV.gz": formatCSV, "a.ndjson": formatJSON, "a.json": formatJSON,
		"a.log": formatLines, "a.txt.gz": formatLines, "a": formatJSON, "-": formatJSON,
	} {
		if have := (&Config{}).formatOf(path); have != want {
			t.Errorf("%s: got %s, want %s", path, have, want)
		}
	}
}

func TestAFileBesideTheFlowIsSuggested(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("flows", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join("flows", "a.ndjson"), "")
	var diags diag.List
	b := &stage.Builder{Name: "file", Diags: &diags, Dir: "flows", Layout: record.NewLayout()}
	build(&Config{Path: conf.Text{Value: "a.ndjson"}}, b)
	if len(diags) != 1 || diags.HasErrors() || !strings.HasSuffix(diags[0].Advice, `the folder of the flow has it: write "flows/a.ndjson"`) {
		t.Errorf("%v", diags)
	}
}
