package record

import (
	"errors"
	"unicode/utf8"
)

// LineToJSON writes a line of text as `{"field":"the line"}`. The line end, if
// there is one, is dropped. Text that is not UTF-8 is an error; dst is then
// returned as it was.
func LineToJSON(dst, line []byte, field string) ([]byte, error) {
	if !utf8.Valid(line) {
		return dst, errors.New("the line is not UTF-8")
	}
	dst = append(dst, '{')
	dst = appendQuoted(dst, field)
	dst = append(dst, ':')
	dst = appendQuoted(dst, stringOf(trimLineEnd(line)))
	return append(dst, '}'), nil
}
