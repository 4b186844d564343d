package flowtest

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// TextReport writes results for people, one as soon as it is there.
type TextReport struct {
	W      io.Writer
	Colour bool
}

// Escape sequences of colours.
const (
	red, green, faint, plain = "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
)

func (t *TextReport) paint(colour, text string) string {
	if !t.Colour {
		return text
	}
	return colour + text + plain
}

// Result writes how one test went.
func (t *TextReport) Result(r *Result) {
	name := r.Test.FullName()
	if v := r.Variant.String(); v != "" {
		name += " (" + v + ")"
	}
	switch {
	case r.Skipped:
		fmt.Fprintf(t.W, "%s  %s\n", t.paint(faint, "skip"), name)
		return
	case !r.Failed():
		fmt.Fprintf(t.W, "%s    %s %s\n", t.paint(green, "ok"), name, t.paint(faint, "("+rounded(r.Elapsed)+")"))
		return
	}
	fmt.Fprintf(t.W, "%s  %s %s\n", t.paint(red, "FAIL"), name, t.paint(faint, "("+rounded(r.Elapsed)+")"))
	for i := range r.Failures {
		t.failure(&r.Failures[i])
	}
}

func rounded(d time.Duration) string {
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func (t *TextReport) failure(f *Failure) {
	fmt.Fprintf(t.W, "  %s: %s\n", f.Span, indented(f.Message, "    "))
	for i := range f.Differences {
		d := &f.Differences[i]
		if d.Title != "" {
			where := ""
			if d.Span != f.Span {
				where = d.Span.String() + ": "
			}
			fmt.Fprintf(t.W, "    %s%s\n", where, d.Title)
		}
		for _, l := range d.Lines {
			text := fmt.Sprintf("%c %s", l.Sign, l.Text)
			switch l.Sign {
			case '-':
				text = t.paint(red, text)
			case '+':
				text = t.paint(green, text)
			}
			fmt.Fprintf(t.W, "      %s\n", text)
		}
		if d.Comment != "" {
			fmt.Fprintf(t.W, "      %s\n", t.paint(faint, d.Comment))
		}
	}
}

func indented(text, by string) string { return strings.ReplaceAll(text, "\n", "\n"+by) }

// Tally is how many tests went how.
type Tally struct{ Passed, Failed, Skipped int }

// Count counts results.
func CountResults(all []*Result) (t Tally) {
	for _, r := range all {
		switch {
		case r.Skipped:
			t.Skipped++
		case r.Failed():
			t.Failed++
		default:
			t.Passed++
		}
	}
	return t
}

// Summary is the last line.
func (t *TextReport) Summary(all []*Result, elapsed time.Duration) {
	c := CountResults(all)
	var parts []string
	if c.Failed > 0 {
		parts = append(parts, t.paint(red, fmt.Sprintf("%d failed", c.Failed)))
	}
	parts = append(parts, fmt.Sprintf("%d passed", c.Passed))
	if c.Skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", c.Skipped))
	}
	if c.Failed > 0 {
		fmt.Fprintf(t.W, "\n%s expected and not there   %s there and not expected\n", t.paint(red, "-"), t.paint(green, "+"))
	}
	fmt.Fprintf(t.W, "%s: %s (%s)\n", plural(len(all), "test"), strings.Join(parts, ", "), rounded(elapsed))
}
