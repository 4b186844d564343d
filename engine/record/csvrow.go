package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// csvRow visits the fields of one row, which has no line end.
type csvRow struct {
	line      []byte
	delimiter byte
	field     []byte // valid until the next call of next
	n         int    // how many were visited
	err       error
	i         int
	over      bool
	buf       []byte
}

func trimLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

func (r *csvRow) next() bool {
	if r.over || r.err != nil {
		return false
	}
	r.n++
	if r.i < len(r.line) && r.line[r.i] == '"' {
		return r.quoted()
	}
	rest := r.line[r.i:]
	end := bytes.IndexByte(rest, r.delimiter)
	if end < 0 {
		end, r.over = len(rest), true
	}
	r.field = rest[:end]
	r.i += end + 1
	if bytes.IndexByte(r.field, '"') >= 0 {
		return r.fail("a quote inside a field that does not start with one")
	}
	if bytes.IndexByte(r.field, '\n') >= 0 {
		return r.fail("a newline outside of quotes")
	}
	return true
}

func (r *csvRow) quoted() bool {
	r.buf = r.buf[:0]
	for i := r.i + 1; ; {
		end := bytes.IndexByte(r.line[i:], '"')
		if end < 0 {
			return r.fail("a quoted field is not closed")
		}
		part := r.line[i : i+end]
		i += end + 1
		if i < len(r.line) && r.line[i] == '"' {
			r.buf = append(append(r.buf, part...), '"')
			i++
			continue
		}
		if r.field = part; len(r.buf) > 0 {
			r.buf = append(r.buf, part...)
			r.field = r.buf
		}
		r.over = i == len(r.line)
		if !r.over && r.line[i] != r.delimiter {
			return r.fail("text behind the closing quote of a field")
		}
		r.i = i + 1
		return true
	}
}

func (r *csvRow) fail(what string) bool {
	r.err = fmt.Errorf("field %d of the row: %s", r.n, what)
	return false
}

// SplitCSV cuts a CSV file into rows without their line ends, for a
// [bufio.Scanner]. Quoted fields may hold newlines. Empty lines are empty
// rows.
func SplitCSV(delimiter byte) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (int, []byte, error) {
		for i := 0; i < len(data); {
			// A quote counts at the start of a field only.
			if data[i] == '"' {
				end := closingQuote(data, i+1)
				if end < 0 {
					if atEOF {
						return 0, nil, errors.New("a quoted field is not closed at the end of the file")
					}
					break
				}
				i = end + 1
			}
			next := bytes.IndexAny(data[i:], string([]byte{delimiter, '\n'}))
			if next < 0 {
				break
			}
			i += next + 1
			if data[i-1] == '\n' {
				return i, trimLineEnd(data[:i]), nil
			}
		}
		if atEOF && len(data) > 0 {
			return len(data), trimLineEnd(data), nil
		}
		return 0, nil, nil
	}
}

// closingQuote is the quote that ends a quoted field, or -1.
func closingQuote(data []byte, i int) int {
	for {
		end := bytes.IndexByte(data[i:], '"')
		if end < 0 {
			return -1
		}
		i += end
		if i+1 >= len(data) || data[i+1] != '"' {
			return i
		}
		i += 2
	}
}

// AppendCSVRow writes values as one row, '\n' included, with quotes where
// they are needed. Null and Missing are empty fields, lists and maps their JSON.
func AppendCSVRow(dst []byte, values []Value, delimiter byte) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, delimiter)
		}
		from := len(dst)
		dst = v.AppendText(dst)
		// A row of one empty field would be an empty line, which readers skip.
		if needsQuotes(dst[from:], delimiter) || len(dst) == from && len(values) == 1 {
			text := string(dst[from:])
			dst = append(dst[:from], '"')
			dst = append(dst, strings.ReplaceAll(text, `"`, `""`)...)
			dst = append(dst, '"')
		}
	}
	return append(dst, '\n')
}

func needsQuotes(field []byte, delimiter byte) bool {
	if len(field) == 0 {
		return false
	}
	if c := field[0]; c == ' ' || c == '\t' || string(field) == `\.` { // the end of data for PostgreSQL
		return true
	}
	for _, c := range field {
		if c == delimiter || c == '"' || c == '\n' || c == '\r' {
			return true
		}
	}
	return false
}
