package record

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CSV turns rows of a CSV file (RFC 4180) into JSON objects. It does not
// change after it was made and is safe for concurrent use.
type CSV struct {
	columns   []csvColumn
	delimiter byte
}

type csvColumn struct {
	name string
	json string // the key as it is written: `"name":`
	kind csvKind
}

type csvKind uint8

const (
	csvAuto csvKind = iota
	csvString
	csvInt
	csvFloat
	csvBool
)

var csvKinds = map[string]csvKind{
	"": csvAuto, "auto": csvAuto, "string": csvString, "int": csvInt, "float": csvFloat, "bool": csvBool,
}

// NewCSV reads rows with the given columns. types gives columns a type,
// auto without one:
//
//	auto    what reads as a JSON number is one, digit by digit (007 does not);
//	        true and false are booleans; an empty field is null
//	string  text, also an empty one
//	int     an integer of any size; leading zeros and a plus sign are dropped
//	float   a number
//	bool    true, false, t, f, 1 or 0, in small or capital letters
//
// An empty field that is to be an int, float or bool is null. Quotes say
// nothing about the type.
func NewCSV(columns []string, delimiter byte, types map[string]string) (*CSV, error) {
	if err := checkDelimiter(delimiter); err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return nil, errors.New("a CSV file needs at least one column")
	}
	c := &CSV{delimiter: delimiter}
	for i, name := range columns {
		for _, before := range c.columns {
			if before.name == name {
				return nil, fmt.Errorf("two columns are called %q", name)
			}
		}
		kind, ok := csvKinds[types[name]]
		if !ok {
			return nil, fmt.Errorf("column %q: unknown type %q (auto, string, int, float or bool)", name, types[name])
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("the name of column %d is not UTF-8", i+1)
		}
		c.columns = append(c.columns, csvColumn{name, key(name), kind})
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("a type is given for column %q, which is not in the file", name)
		}
	}
	return c, nil
}

func checkDelimiter(d byte) error {
	if d == '"' || d == '\r' || d == '\n' || d == 0 || d >= utf8.RuneSelf {
		return fmt.Errorf("%q cannot be the delimiter of a CSV file", d)
	}
	return nil
}

// Row writes one row as a JSON object with the columns in their order. line
// is the row with or without its line end; newlines in quotes belong to the
// row ([SplitCSV] cuts a file so). After an error dst is returned as it was.
func (c *CSV) Row(dst, line []byte) ([]byte, error) {
	if !utf8.Valid(line) {
		return dst, errors.New("the row is not UTF-8")
	}
	from := len(dst)
	dst = append(dst, '{')
	r := csvRow{line: trimLineEnd(line), delimiter: c.delimiter}
	for r.next() {
		if r.n > len(c.columns) {
			continue // count them for the error
		}
		if r.n > 1 {
			dst = append(dst, ',')
		}
		column := &c.columns[r.n-1]
		dst = append(dst, column.json...)
		var err error
		if dst, err = column.value(dst, r.field); err != nil {
			return dst[:from], fmt.Errorf("column %q: %w", column.name, err)
		}
	}
	if r.err != nil {
		return dst[:from], r.err
	}
	if r.n != len(c.columns) {
		return dst[:from], fmt.Errorf("the row has %d fields and the header %d", r.n, len(c.columns))
	}
	return append(dst, '}'), nil
}

// value writes a field as the type of its column.
func (c *csvColumn) value(dst, field []byte) ([]byte, error) {
	text := stringOf(field)
	if c.kind == csvString {
		return appendQuoted(dst, text), nil
	}
	if text == "" {
		return append(dst, "null"...), nil
	}
	switch c.kind {
	case csvInt:
		return appendCSVInt(dst, text)
	case csvFloat:
		return appendCSVFloat(dst, text)
	case csvBool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return dst, fmt.Errorf("%s is not a boolean", describe(StringValue(text)))
		}
		return strconv.AppendBool(dst, b), nil
	}
	if text == "true" || text == "false" || numeric(text) {
		return append(dst, text...), nil
	}
	return appendQuoted(dst, text), nil
}

// numeric says whether a text is one JSON number.
func numeric(text string) bool {
	s := scanner{b: bytesOf(text)}
	c := s.at(0)
	return (c == '-' || c-'0' <= 9) && s.number(0) == len(text)
}

func appendCSVInt(dst []byte, text string) ([]byte, error) {
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 || !isInteger(digits) {
		return dst, fmt.Errorf("%s is not an integer", describe(StringValue(text)))
	}
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return append(dst, '0'), nil
	}
	if text[0] == '-' {
		dst = append(dst, '-')
	}
	return append(dst, digits...), nil
}

func appendCSVFloat(dst []byte, text string) ([]byte, error) {
	if numeric(text) {
		return append(dst, text...), nil
	}
	// ParseFloat also reads Inf and hexadecimal digits.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "+-.0123456789eE") != "" {
		return dst, fmt.Errorf("%s is not a number", describe(StringValue(text)))
	}
	return appendFloat(dst, f), nil
}

// CSVColumns reads the header of a CSV file. A byte order mark before it is
// dropped.
func CSVColumns(line []byte, delimiter byte) ([]string, error) {
	line = bytes.TrimPrefix(line, []byte("\ufeff"))
	if !utf8.Valid(line) {
		return nil, errors.New("the header is not UTF-8")
	}
	var columns []string
	r := csvRow{line: trimLineEnd(line), delimiter: delimiter}
	for r.next() {
		columns = append(columns, string(r.field))
	}
	return columns, r.err
}
