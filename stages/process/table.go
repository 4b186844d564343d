package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
)

type tableConfig struct {
	path     conf.Text
	column   conf.Text // to look up in; "": the first of a CSV file
	types    []conf.Pair
	columns  []conf.Text // to copy; none: the row as a whole
	maxRows  int
	maxBytes int64
}

// table is one version of a table. It does not change.
type table struct {
	rows   map[string]int // the place of a row by the text of its key
	values []record.Value // row by row, width a row
	width  int
}

// find is the row of a key, nil when there is none.
func (t *table) find(key record.Value) []record.Value {
	if key.IsNil() {
		return nil
	}
	i, ok := t.rows[key.Text()]
	if !ok {
		return nil
	}
	return t.values[i*t.width : (i+1)*t.width]
}

// columnError is about a column that the config names.
type columnError struct {
	column  conf.Text
	message string
	advice  string
}

func (e *columnError) Error() string { return e.message }

// read makes a table of the content of its file.
func (c *tableConfig) read(data []byte) (*table, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	b := builder{tableConfig: c, key: c.column.Value, table: &table{rows: map[string]int{}, width: max(1, len(c.columns))}}
	var err error
	switch c.ext() {
	case ".csv":
		err = b.csv(data)
	case ".json":
		err = b.list(data)
	case ".ndjson", ".jsonl":
		err = b.lines(data)
	default:
		return nil, fmt.Errorf("the ending %q is not known; a table is a .csv, .json or .ndjson file", c.ext())
	}
	if err != nil {
		return nil, err
	}
	return b.table, b.complete()
}

// builder reads the rows of a table, each as the text of a JSON object.
type builder struct {
	*tableConfig
	*table
	key   string
	names []string // of the columns; of JSON those of the first row
	seen  []bool   // which of columns any row has
	n     int
}

func (b *builder) csv(data []byte) error {
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, len(data)+1)
	s.Split(record.SplitCSV(','))
	if !s.Scan() {
		if s.Err() != nil {
			return s.Err()
		}
		return errors.New("the file is empty; its first line must name the columns")
	}
	var err error
	if b.names, err = record.CSVColumns(s.Bytes(), ','); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if b.key == "" && len(b.names) > 0 {
		b.key = b.names[0]
	}
	types := map[string]string{}
	for _, t := range b.types {
		types[t.Key.Value] = t.Value.Value
	}
	rows, err := record.NewCSV(b.names, ',', types)
	if err != nil {
		return err
	}
	var row []byte
	for s.Scan() {
		if len(s.Bytes()) == 0 {
			continue
		}
		if row, err = rows.Row(row[:0], s.Bytes()); err != nil {
			return fmt.Errorf("row %d: %w", b.n+1, err)
		}
		if err := b.add(string(row)); err != nil {
			return err
		}
	}
	return s.Err()
}

// list reads a JSON file that is one list of objects.
func (b *builder) list(data []byte) error {
	if !json.Valid(data) {
		var x any
		return fmt.Errorf("malformed JSON: %w", json.Unmarshal(data, &x))
	}
	text := string(data)
	all := record.ProjectValue(text, nil)
	if all.Kind() != record.List {
		return fmt.Errorf("expected a list of objects, got %s", a(all.Kind()))
	}
	check := record.NewProjector(record.NewLayout())
	for _, v := range elements(nil, all, b.maxRows+1) {
		if v.Kind() != record.Map {
			return fmt.Errorf("row %d: expected an object, got %s", b.n+1, a(v.Kind()))
		}
		if err := check.Project([]byte(v.JSON()), nil); err != nil {
			return fmt.Errorf("row %d: %w", b.n+1, err)
		}
		if err := b.add(v.JSON()); err != nil {
			return err
		}
	}
	return nil
}

// lines reads a file of objects, one a line.
func (b *builder) lines(data []byte) error {
	check := record.NewProjector(record.NewLayout())
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if err := check.Project(line, nil); err != nil {
			return fmt.Errorf("row %d: %w", b.n+1, err)
		}
		if err := b.add(string(line)); err != nil {
			return err
		}
	}
	return nil
}

// add takes a row, whose text becomes the table's.
func (b *builder) add(row string) error {
	if b.n == 0 {
		if err := b.first(row); err != nil {
			return err
		}
	}
	if b.n++; b.n > b.maxRows {
		return fmt.Errorf("there are more rows than max_rows, which is %d", b.maxRows)
	}
	key := record.ProjectValue(row, record.Path{{Key: b.key}})
	if key.IsNil() {
		return fmt.Errorf("row %d: column %q has no value", b.n, b.key)
	}
	if at, twice := b.rows[key.Text()]; twice {
		return fmt.Errorf("row %d: column %q is %s as in row %d", b.n, b.key, display(key), at+1)
	}
	b.rows[key.Text()] = b.n - 1
	if len(b.columns) == 0 {
		b.values = append(b.values, record.MapValue(row))
	}
	for i, c := range b.columns {
		v := record.ProjectValue(row, record.Path{{Key: c.Value}})
		b.seen[i] = b.seen[i] || v.Kind() != record.Missing
		b.values = append(b.values, v)
	}
	return nil
}

// first looks at the first row.
func (b *builder) first(row string) error {
	b.seen = make([]bool, len(b.columns))
	if b.names == nil {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(row), &fields); err != nil {
			return fmt.Errorf("row 1: %w", err)
		}
		for name := range fields {
			b.names = append(b.names, name)
		}
		slices.Sort(b.names)
	}
	if b.key == "" {
		return errors.New("the objects of a JSON file have no first column; name the one to look up in with column")
	}
	return b.known(b.column)
}

// complete says whether the table has what the config names. Of a JSON file
// any row may have it, and a table without rows is none.
func (b *builder) complete() error {
	for i, c := range b.columns {
		if b.n > 0 && b.seen[i] {
			continue
		}
		if err := b.known(c); err != nil {
			return err
		}
	}
	if b.n == 0 {
		return errors.New("the table has no rows")
	}
	return nil
}

// known refuses a column that the table does not have.
func (b *builder) known(c conf.Text) error {
	if c.Value == "" || slices.Contains(b.names, c.Value) {
		return nil
	}
	return &columnError{c, fmt.Sprintf("there is no column %q", c.Value), suggest(c.Value, b.names)}
}
