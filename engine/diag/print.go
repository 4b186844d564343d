package diag

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	tabWidth = 4
	// maxWidth is the number of terminal cells of a source line that are shown; longer lines are cut around the caret.
	maxWidth = 100
)

const (
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	blue   = "\x1b[1;34m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// Print writes each diagnostic with the line it is about:
//
//	flows/a.yaml:7:11: window: size 0s is below the minimum 1ms
//	  7 |     size: 0s
//	    |           ^~
//	  = help: use at least 1ms
//
// Sources holds the files by the names that the spans use; a diagnostic whose file or line is not
// there is printed without excerpt. Control characters of a source or a message are shown as �, never sent to the
// terminal. The list is printed in its own order. Errors of w are ignored, as with fmt.Fprint to a terminal.
func Print(w io.Writer, list List, sources map[string][]byte, color bool) {
	p := printer{color: color, lines: map[string][][]byte{}}
	for _, d := range list {
		p.diagnostic(d, sources)
	}
	_, _ = io.WriteString(w, p.b.String())
}

type printer struct {
	b     strings.Builder
	color bool
	lines map[string][][]byte
}

func (p *printer) paint(code, s string) string {
	if !p.color || s == "" {
		return s
	}
	return code + s + plain
}

func (p *printer) diagnostic(d Diagnostic, sources map[string][]byte) {
	at := d.Span.String()
	if at != "" {
		at += ": "
	}
	severity, code := "", red
	if d.Severity == Warning {
		severity, code = "warning: ", yellow
	}
	p.b.WriteString(p.paint(bold, harmless(at)) + p.paint(code, severity) + harmless(d.Message) + "\n")
	if line, ok := p.line(d.Span, sources); ok {
		p.excerpt(d.Span, line, code)
	}
	if d.Advice != "" {
		p.b.WriteString("  " + p.paint(blue, "= help:") + " " + harmless(d.Advice) + "\n")
	}
}

func (p *printer) line(s Span, sources map[string][]byte) ([]byte, bool) {
	src, ok := sources[s.File]
	if !ok || s.Start.Line < 1 {
		return nil, false
	}
	lines, ok := p.lines[s.File]
	if !ok {
		lines = bytes.Split(bytes.TrimPrefix(src, []byte("\ufeff")), []byte("\n"))
		p.lines[s.File] = lines
	}
	if s.Start.Line > len(lines) {
		return nil, false
	}
	return bytes.TrimSuffix(lines[s.Start.Line-1], []byte("\r")), true
}

// cell is one character of the source as it is shown.
type cell struct {
	text  string
	width int
}

func (p *printer) excerpt(s Span, line []byte, code string) {
	cells := layout(line)
	from := min(max(s.Start.Col, 1)-1, len(cells))
	to := from + 1
	if s.Start.Before(s.End) {
		to = len(cells)
		if s.End.Line == s.Start.Line {
			to = min(to, s.End.Col-1)
		}
		to = max(to, from+1)
	}
	first, last := window(cells, from, to)

	number := fmt.Sprint(s.Start.Line)
	gutter := p.paint(blue, fmt.Sprintf("  %s |", number))
	blank := p.paint(blue, fmt.Sprintf("  %s |", strings.Repeat(" ", len(number))))

	var shown, pad strings.Builder
	if first > 0 {
		shown.WriteString("…")
		pad.WriteString(" ")
	}
	marked := 0
	for i := first; i < last; i++ {
		shown.WriteString(cells[i].text)
		switch {
		case i < from:
			pad.WriteString(strings.Repeat(" ", cells[i].width))
		case i < to:
			marked += cells[i].width
		}
	}
	if last < len(cells) {
		shown.WriteString("…")
	}
	mark := "^" + strings.Repeat("~", max(marked, 1)-1)
	p.b.WriteString(strings.TrimRight(gutter+" "+shown.String(), " ") + "\n")
	p.b.WriteString(blank + " " + pad.String() + p.paint(code, mark) + "\n")
}

// window chooses the cells to show: all of a short line, else a stretch of maxWidth around the caret.
func window(cells []cell, from, to int) (first, last int) {
	total := 0
	for _, c := range cells {
		total += c.width
	}
	if total <= maxWidth {
		return 0, len(cells)
	}
	// The marked characters come first, then as much as fits, a third of it before them.
	first, last = from, from
	width := 0
	for first > 0 && width+cells[first-1].width <= maxWidth/3 {
		first--
		width += cells[first].width
	}
	for last < len(cells) && width+cells[last].width <= maxWidth {
		width += cells[last].width
		last++
	}
	for first > 0 && width+cells[first-1].width <= maxWidth {
		first--
		width += cells[first].width
	}
	return first, last
}

// layout is the line as cells, one for each character, which is what Pos.Col counts.
func layout(line []byte) []cell {
	cells := make([]cell, 0, len(line))
	column := 0
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		line = line[n:]
		c := cell{text: string(r), width: runeWidth(r)}
		switch {
		case r == '\t':
			c.width = tabWidth - column%tabWidth
			c.text = strings.Repeat(" ", c.width)
		case !printable(r):
			c = cell{text: "�", width: 1}
		}
		column += c.width
		cells = append(cells, c)
	}
	return cells
}

// harmless makes text of a file safe to print: no escape sequence reaches the terminal, and no line is faked.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !printable(r):
			return '�'
		}
		return r
	}, s)
}

// printable is false for controls and for the format characters that reorder or hide text (bidirectional
// overrides, zero width spaces), and true for combining marks and joiners that letters need.
func printable(r rune) bool {
	if r == '\u200c' || r == '\u200d' || r == '\u00ad' {
		return true
	}
	return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs)
}

// runeWidth is the number of terminal cells of r, after the East Asian Width classes W and F of Unicode (UAX 11), to the block.
func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me) || r == '\u200c' || r == '\u200d':
		return 0
	case r < 0x1100:
		return 1
	case r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf && r != 0x303f, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f680 && r <= 0x1f6ff,
		r >= 0x1f900 && r <= 0x1f9ff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
