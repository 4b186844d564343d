package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write puts a table into a folder of its own, with a time of its own so that
// no two versions look alike.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.TempDir(), path)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const devicesCSV = "\ufeffdevice,model,floor,zip\r\nd1,\"T,1\",2,007\r\n\r\n7,T2,,010\r\n"

func TestLookup(t *testing.T) {
	tests := []struct {
		name          string
		file, content string
		rest          string
		in            []string
		out, dead     []string
	}{
		{
			name: "the whole row of a CSV file, by its first column",
			file: "t.csv", content: devicesCSV, rest: `key: "id", into: device`,
			in:  []string{`{"id":"d1"}`, `{"id":7}`, `{"id":"7","device":"old"}`, `{"id":"x"}`, `{}`},
			out: []string{`{"id":"d1","device":{"device":"d1","model":"T,1","floor":2,"zip":"007"}}`, `{"id":7,"device":{"device":7,"model":"T2","floor":null,"zip":"010"}}`, `{"id":"7","device":{"device":7,"model":"T2","floor":null,"zip":"010"}}`, `{"id":"x","device":null}`, `{"device":null}`},
		},
		{
			name: "some fields, and no others where there is no row",
			file: "t.csv", content: devicesCSV, rest: `key: "id", fields: [model, floor], on_missing: drop`,
			in:  []string{`{"id":"d1"}`, `{"id":"x"}`},
			out: []string{`{"id":"d1","model":"T,1","floor":2}`},
		},
		{
			name: "fields with other names, another column and types",
			file: "t.csv", content: devicesCSV, rest: `key: "upper(m)", column: model, types: {floor: string}, fields: {where: floor, who: device}, on_missing: dead`,
			in:   []string{`{"m":"t2"}`, `{"m":"t9"}`, `{}`},
			out:  []string{`{"m":"t2","where":"","who":7}`},
			dead: []string{`{"m":"t9"} lookup: t.csv has no row for "T9"`, `{} lookup: "upper(m)": m is missing*`},
		},
		{
			name: "a list of objects",
			file: "t.json", content: `[{"id":1,"a":{"x":1.50}}, {"id":2,"b":[]}]`, rest: `key: "id", column: id, fields: [a, b]`,
			in:  []string{`{"id":1}`, `{"id":2}`},
			out: []string{`{"id":1,"a":{"x":1.50},"b":null}`, `{"id":2,"a":null,"b":[]}`},
		},
		{
			name: "an object a line",
			file: "t.ndjson", content: "{\"id\":1,\"a\":2}\n\n{\"id\":2}", rest: `key: "id", column: id, into: row`,
			in:  []string{`{"id":2}`},
			out: []string{`{"id":2,"row":{"id":2}}`},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, test.file, test.content)
			out, dead := through(t, []string{fmt.Sprintf("lookup: {table: %q, %s}", path, test.rest)}, test.in...)
			equal(t, "records", out, test.out)
			like(t, "dead letters", dead, test.dead)
		})
	}
}

func TestAFieldOfARowCanBeReadBehindTheLookup(t *testing.T) {
	path := write(t, "t.csv", devicesCSV)
	steps := []string{fmt.Sprintf(`lookup: {table: %q, key: "id", into: device}`, path), `set: {n: "device?.floor ?? 0"}`, `select: n`}
	out, _ := through(t, steps, `{"id":"d1","device":{"floor":9}}`, `{"id":"x"}`)
	equal(t, "records", out, []string{`{"n":2}`, `{"n":0}`})
}

func TestATableThatCannotBeReadIsAnError(t *testing.T) {
	tests := []struct{ file, content, rest, want string }{
		{"t.csv", "", `into: x`, "the file is empty; its first line must name the columns"},
		{"t.csv", "a,b\n", `into: x`, "the table has no rows"},
		{"t.csv", "a,b\n1,2\n3\n", `into: x`, "row 2: the row has 1 fields and the header 2"},
		{"t.csv", "a,b\n1,2\n1,3\n", `into: x`, `row 2: column "a" is 1 as in row 1`},
		{"t.csv", "a,b\n,2\n", `into: x`, `row 1: column "a" has no value`},
		{"t.csv", "a,b\n1,2\n", `column: z, into: x`, `there is no column "z"; there is a, b`},
		{"t.csv", "alpha,beta\n1,2\n", `fields: [beat]`, `there is no column "beat"; did you mean "beta"?`},
		{"t.csv", "a,b\n1,2\n", `types: {c: int}, into: x`, `a type is given for column "c", which is not in the file`},
		{"t.csv", "a\n1\n2\n3\n", `into: x, max_rows: 2`, "there are more rows than max_rows, which is 2"},
		{"t.csv", "a\n1\n2\n3\n", `into: x, max_bytes: 5`, "the file is larger than max_bytes, which is 5"},
		{"t.csv", "a\n\xff\n", `into: x`, "the file is not UTF-8"},
		{"t.csv", "a\n\"1\n", `into: x`, "a quoted field is not closed"},
		{"t.json", `[{"a":1}]`, `into: x`, "have no first column; name the one to look up in with column"},
		{"t.json", `[{"a":1}`, `column: a, into: x`, "malformed JSON: unexpected end of JSON input"},
		{"t.json", `{"a":1}`, `column: a, into: x`, "expected a list of objects, got a map"},
		{"t.json", `[{"a":1}, 2]`, `column: a, into: x`, "row 2: expected an object, got an int"},
		{"t.json", `[{"a":1}]`, `column: a, fields: [b]`, `there is no column "b"; there is a`},
		{"t.ndjson", "{\"a\":1}\n[1]", `column: a, into: x`, "row 2: "},
		{"t.xlsx", "x", `into: x`, `the ending ".xlsx" is not known`},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			b := newBench()
			if b.add(fmt.Sprintf(`lookup: {table: %q, key: "id", %s}`, write(t, test.file, test.content), test.rest)) {
				t.Fatal("no error")
			}
			if got := b.diags.Err().Error(); !strings.Contains(got, test.want) || !strings.HasPrefix(got, "flow.yaml:1:") {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestAChangedTableIsReadAgain(t *testing.T) {
	path := write(t, "t.csv", "id,v\n1,a\n")
	b := newBench().mustAdd(t, fmt.Sprintf(`lookup: {table: %q, key: "id", fields: [v]}`, path)).start(10)
	now := int64(1e9)
	look := func(passed time.Duration, want string) {
		t.Helper()
		now += int64(passed)
		b.run(t, b.batch(t, now)) // time passes behind the records of a batch
		equal(t, "record", docs(b.run(t, b.batch(t, now, `{"id":1}`))), []string{`{"id":1,"v":` + want + `}`})
	}
	look(0, `"a"`)
	write(t, path, "id,v\n1,second\n")
	look(999*time.Millisecond, `"a"`)
	look(time.Millisecond, `"second"`)

	write(t, path, "id,v\n1,half,")
	look(2*time.Second, `"second"`)
	write(t, path, "id,v\n1,whole\n")
	look(2*time.Second, `"whole"`)

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look(2*time.Second, `"whole"`)
	write(t, path, "id,v\n2,x\n")
	look(2*time.Second, `null`)
}

func TestLanesShareOneTable(t *testing.T) {
	path := write(t, "t.csv", "id,v\n1,a\n")
	b := newBench().mustAdd(t, fmt.Sprintf(`lookup: {table: %q, key: "id", fields: [v]}`, path))
	one, two := b.specs[0].New().(*lookup), b.specs[0].New().(*lookup)
	write(t, path, "id,v\n1,longer\n")
	one.file.refresh(5e9)
	if one.file.now.Load() != two.file.now.Load() || two.file.now.Load().values[0].Str() != "longer" {
		t.Error("a lane has another table")
	}
}
