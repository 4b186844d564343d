package record

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// requireCSV checks how a file is cut and read against encoding/csv.
func requireCSV(t require, file string) {
	t.Helper()
	if strings.Contains(strings.ReplaceAll(file, "\r\n", ""), "\r") {
		return // a row may end in \r, which is then not looked at twice
	}
	var want [][]string
	r := csv.NewReader(strings.NewReader(file))
	r.FieldsPerRecord = -1
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			want = append(want, nil) // an error, after which encoding/csv goes on elsewhere
			break
		}
		want = append(want, row)
	}
	lines := bufio.NewScanner(strings.NewReader(file))
	lines.Split(SplitCSV(','))
	var got [][]string
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		row, err := readRow(lines.Bytes())
		got = append(got, row)
		if err != nil {
			got[len(got)-1] = nil
			break
		}
	}
	if lines.Err() != nil {
		got = append(got, nil)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("%q: got %q, want %q", file, got, want)
	}
}

func readRow(line []byte) ([]string, error) {
	var fields []string
	r := csvRow{line: trimLineEnd(line), delimiter: ','}
	for r.next() {
		// encoding/csv changes the line ends inside of fields.
		fields = append(fields, strings.ReplaceAll(string(r.field), "\r\n", "\n"))
	}
	return fields, r.err
}

func TestRowsAreThoseOfEncodingCSV(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "é", ",", ",", "\"", "\"", "\"\"", "\n", "\r\n", "\",\"", " ", "1.5", ""})
	rapid.Check(t, func(t *rapid.T) {
		requireCSV(t, strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "file"), ""))
	})
}

func TestWrittenRowsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a,b", "\"", "x\ny", " x", `\.`})), 1, 4).Draw(t, "row")
		var values []Value
		for i, s := range want {
			want[i] = strings.ReplaceAll(s, "\r\n", "\n")
			values = append(values, StringValue(want[i]))
		}
		line := AppendCSVRow(nil, values, ',')
		if got, err := readRow(line); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q: got %q (%v), want %q", line, got, err, want)
		}
	})
}

func TestCSVTypes(t *testing.T) {
	types := map[string]string{"s": "string", "i": "int", "f": "float", "b": "bool", "a": "auto"}
	c, err := NewCSV([]string{"a", "s", "i", "f", "b"}, ';', types)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ row, want string }{
		{"1.50;1;1;1.50;true\r\n", `{"a":1.50,"s":"1","i":1,"f":1.50,"b":true}`},
		{";;;;", `{"a":null,"s":"","i":null,"f":null,"b":null}`},
		{"007;\"x;\ny\";+007;.5;0", `{"a":"007","s":"x;\ny","i":7,"f":0.5,"b":false}`},
		{`"12345678901234567890";"""";-00;1e3;T`, `{"a":12345678901234567890,"s":"\"","i":0,"f":1e3,"b":true}`},
		{"false;é;-12;-.5e1;f", `{"a":false,"s":"é","i":-12,"f":-5,"b":false}`},
		{"null;;;;", `{"a":"null","s":"","i":null,"f":null,"b":null}`},
		{"a;b", "the row has 2 fields and the header 5"},
		{"a;b;1;1;1;x", "the row has 6 fields and the header 5"},
		{"a;b;1.5;;", `column "i": "1.5" is not an integer`},
		{"a;b;+-1;;", `column "i": "+-1" is not an integer`},
		{"a;b;;inf;", `column "f": "inf" is not a number`},
		{"a;b;;0x1p3;", `column "f": "0x1p3" is not a number`},
		{"a;b;;;yes", `column "b": "yes" is not a boolean`},
		{"a;\"b;;;", "field 2 of the row: a quoted field is not closed"},
		{"a;b\"\";;;", "field 2 of the row: a quote inside a field that does not start with one"},
		{"a;\"b\"c;;;", "field 2 of the row: text behind the closing quote of a field"},
		{"a;b\nc;;;", "field 2 of the row: a newline outside of quotes"},
		{"a;\xff;;;", "the row is not UTF-8"},
	} {
		got, err := c.Row([]byte("before"), []byte(tt.row))
		if err != nil {
			got = append(got, err.Error()...)
		}
		if string(got) != "before"+tt.want {
			t.Errorf("%q: got %s, want %s", tt.row, got, tt.want)
		}
	}
}

func TestCSVConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		columns   []string
		delimiter byte
		types     map[string]string
		want      string
	}{
		{nil, ',', nil, "a CSV file needs at least one column"},
		{[]string{"a", "a"}, ',', nil, `two columns are called "a"`},
		{[]string{"a"}, '"', nil, `'"' cannot be the delimiter of a CSV file`},
		{[]string{"a"}, ',', map[string]string{"a": "number"}, `column "a": unknown type "number" (auto, string, int, float or bool)`},
		{[]string{"a"}, ',', map[string]string{"b": "int"}, `a type is given for column "b", which is not in the file`},
	} {
		if _, err := NewCSV(tt.columns, tt.delimiter, tt.types); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	if got, err := CSVColumns([]byte("\ufeffa,\"b c\"\r\n"), ','); err != nil || !slices.Equal(got, []string{"a", "b c"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLines(t *testing.T) {
	got, err := LineToJSON([]byte("x"), []byte("a \"b\"\té\r\n"), "line")
	if want := "x{\"line\":\"a \\\"b\\\"\\té\"}"; err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
	if got, err := LineToJSON([]byte("x"), []byte("\xff"), "line"); err == nil || string(got) != "x" {
		t.Errorf("got %s", got)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("a,b\n\"x\"\"\n,\",1\r\n")
	f.Add("a\"b,c\n")
	c, err := NewCSV([]string{"a", "b"}, ',', nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file string) {
		requireCSV(t, file)
		if row, err := c.Row(nil, []byte(file)); err == nil && (!wellFormed(row) || !utf8.Valid(row)) {
			t.Fatalf("%q became %q", file, row)
		}
	})
}
