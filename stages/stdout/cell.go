package stdout

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/telluride-stream/telluride/engine/record"
)

// cell is a value as a table shows it.
type cell struct {
	text  string
	width int // in columns of the terminal
	right bool
	null  bool
}

func newCell(v record.Value) cell {
	var text string
	switch v.Kind() {
	case record.Int:
		text = v.Text()
	case record.Float:
		text = round(v.Float())
	case record.String:
		text = harmless(shorten(v.Str()))
	case record.Null:
		text = "-"
	default:
		text = harmless(v.Text())
	}
	return cell{text, width(text), v.IsNumber(), v.IsNil()}
}

// round is a number with two decimals, or with three digits when it is too
// small for that.
func round(x float64) string {
	switch size := math.Abs(x); {
	case size >= 1e15 || math.IsNaN(x):
		return strconv.FormatFloat(x, 'g', 6, 64)
	case size == 0 || size >= 0.1:
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// shorten is a time without its T, zone UTC and more than milliseconds, a
// duration of at most four digits, and any other text as it is.
func shorten(s string) string {
	if len(s) < 2 || s[0] > '9' && s[0] != '-' || s[0] < '-' {
		return s // most texts
	}
	if len(s) >= len("2006-01-02T15:04:05Z") && s[10] == 'T' {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return s
		}
		layout := "2006-01-02 15:04:05"
		if t.Nanosecond() >= int(time.Millisecond) {
			layout += ".000"
		}
		if _, offset := t.Zone(); offset != 0 {
			layout += " -07:00"
		}
		return t.Format(layout)
	}
	if last := s[len(s)-1]; last == 's' || last == 'm' || last == 'h' {
		if d, err := time.ParseDuration(s); err == nil {
			return shortDuration(d)
		}
	}
	return s
}

func shortDuration(d time.Duration) string {
	unit := time.Duration(1)
	for size := d.Abs(); size/unit >= 10_000; unit *= 10 {
	}
	if unit > time.Second {
		unit = time.Second
	}
	return d.Round(unit).String()
}

// harmless replaces what could move the cursor or turn the text around: a
// record must not be able to do that to a terminal.
func harmless(s string) string {
	odd := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) && r != ' ' }
	if strings.IndexFunc(s, odd) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case odd(r):
			return '·'
		}
		return r
	}, s)
}

// cut shortens text to a width, with a mark that it was cut.
func cut(s string, to int) string {
	if width(s) <= to {
		return s
	}
	used := 1 // the mark
	for i, r := range s {
		if used += runeWidth(r); used > to {
			return s[:i] + "…"
		}
	}
	return s
}

func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// runeWidth is 2 for the scripts and pictures that terminals draw two columns
// wide, 0 for marks on the letter before.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
