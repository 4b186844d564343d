package stdout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/record"
)

const (
	defaultWidth = 100 // of a terminal that does not say
	narrowest    = 8   // no column is made narrower to fit a terminal
	widest       = 60  // no column is wider, so that one text does not push all others out
	gap          = "  "
)

// table prints records as rows. Columns are the fields of the records; when
// these change, or a column must be wider, a new header is printed.
type table struct {
	width int
	color bool

	names   []string
	widths  []int
	right   []bool // numbers so far
	printed bool   // the header
	memory  []byte
}

func newTable(width int, color bool) *table {
	if width <= 0 {
		width = defaultWidth
	}
	return &table{width: width, color: color}
}

// row is a record as a list of named cells.
type row struct {
	names []string
	cells []cell
}

// append prints records.
func (t *table) append(dst []byte, records []record.Record) []byte {
	rows := make([]row, len(records))
	for i := range records {
		rows[i] = t.read(&records[i])
	}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && slices.Equal(rows[n].names, rows[0].names) {
			n++
		}
		dst = t.block(dst, rows[:n])
		rows = rows[n:]
	}
	return dst
}

// read takes a record apart into its fields, in their order.
func (t *table) read(r *record.Record) (out row) {
	t.memory = record.AppendJSON(t.memory[:0], r)
	d := json.NewDecoder(bytes.NewReader(t.memory))
	if open, err := d.Token(); err == nil && open == json.Delim('{') {
		for d.More() {
			var raw json.RawMessage
			name, err := d.Token()
			if err == nil {
				err = d.Decode(&raw)
			}
			if err != nil {
				break
			}
			out.names = append(out.names, harmless(name.(string)))
			out.cells = append(out.cells, newCell(record.ProjectValue(string(raw), nil)))
		}
	}
	return out
}

// block prints rows of the same columns.
func (t *table) block(dst []byte, rows []row) []byte {
	if !slices.Equal(t.names, rows[0].names) {
		if t.names != nil {
			dst = append(dst, '\n')
		}
		t.names, t.printed = rows[0].names, false
		t.widths, t.right = make([]int, len(t.names)), make([]bool, len(t.names))
		for i, name := range t.names {
			t.widths[i] = min(width(name), widest)
			t.right[i] = rows[0].cells[i].right
		}
	}
	for _, r := range rows {
		for i, c := range r.cells {
			if want := min(c.width, widest); want > t.widths[i] {
				// A little more than needed: the next value may be longer.
				if t.widths[i], t.printed = want, false; c.right {
					t.widths[i] += 2
				}
			}
		}
	}
	widths, shown := t.fit()
	if !t.printed {
		dst = t.header(dst, widths, shown)
		t.printed = true
	}
	for _, r := range rows {
		for i, c := range r.cells[:shown] {
			c.right = c.right || c.null && t.right[i]
			dst = t.cell(dst, c, widths[i], i == shown-1)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// fit makes the widest columns narrower until all fit the terminal. Where
// that is not enough, the last ones are left out.
func (t *table) fit() (widths []int, shown int) {
	widths, shown = slices.Clone(t.widths), len(t.widths)
	for t.total(widths, shown) > t.width {
		i, most := -1, narrowest
		for j, w := range widths[:shown] {
			if w > most && !t.right[j] { // half a number says something wrong
				i, most = j, w
			}
		}
		switch {
		case i >= 0:
			widths[i]--
		case shown > 1:
			shown--
		default:
			return widths, shown
		}
	}
	return widths, shown
}

// total is the width of a line of so many columns.
func (t *table) total(widths []int, shown int) int {
	n := len(gap) * (shown - 1)
	for _, w := range widths[:shown] {
		n += w
	}
	if hidden := len(widths) - shown; hidden > 0 {
		n += len(gap) + len(more(hidden))
	}
	return n
}

// more says how many columns are left out.
func more(n int) string { return fmt.Sprintf("+%d", n) }

const (
	dim    = "\x1b[2m"
	normal = "\x1b[0m"
)

func (t *table) header(dst []byte, widths []int, shown int) []byte {
	if t.color {
		dst = append(dst, dim...)
	}
	hidden := len(t.names) - shown
	for i, name := range t.names[:shown] {
		dst = t.cell(dst, cell{text: name, width: width(name), right: t.right[i]}, widths[i], i == shown-1 && hidden == 0)
	}
	if hidden > 0 {
		dst = append(dst, more(hidden)...)
	}
	if t.color {
		dst = append(dst, normal...)
	}
	return append(dst, '\n')
}

func (t *table) cell(dst []byte, c cell, to int, last bool) []byte {
	text := cut(c.text, to)
	space := strings.Repeat(" ", max(0, to-width(text)))
	switch {
	case c.right:
		dst = append(append(dst, space...), text...)
	case last:
		return append(dst, text...) // no space at the end of a line
	default:
		dst = append(append(dst, text...), space...)
	}
	if !last {
		dst = append(dst, gap...)
	}
	return dst
}
