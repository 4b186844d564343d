package main

import (
	"bytes"
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// console shares a terminal between results, messages and one progress line
// that stays below them. What is no terminal it leaves alone.
type console struct {
	out, err         io.Writer
	outTerm, errTerm bool
	colour           bool // of err

	mu      sync.Mutex
	line    string // the progress line that is shown
	midline bool   // the cursor stands behind text that is not ours
}

func (p *program) console() *console {
	return &console{
		out: p.stdout, err: p.stderr,
		outTerm: isTerminal(p.stdout), errTerm: isTerminal(p.stderr), colour: p.colour(p.stderr),
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour says whether to colour what goes to w: a terminal, unless NO_COLOR
// is set (https://no-color.org) or the terminal is dumb.
func (p *program) colour(w io.Writer) bool {
	if v, ok := p.env("NO_COLOR"); ok && v != "" {
		return false
	}
	v, _ := p.env("TERM")
	return v != "dumb" && isTerminal(w)
}

// width is the number of columns of w; 0: unknown.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

// Stdout is where results go.
func (c *console) Stdout() io.Writer {
	if c.outTerm && c.errTerm {
		return &above{c, c.out}
	}
	return c.out
}

// Stderr is where messages go.
func (c *console) Stderr() io.Writer {
	if c.errTerm {
		return &above{c, c.err}
	}
	return c.err
}

// Progress shows line instead of the one before; "" takes it away.
func (c *console) Progress(line string) {
	if !c.errTerm {
		return
	}
	if w := width(c.err); w > 1 {
		line = cut(line, w-1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.midline || line == c.line {
		return
	}
	c.line = line
	_, _ = io.WriteString(c.err, eraseLine+line)
}

// eraseLine goes to the start of the line and clears it.
const eraseLine = "\r\x1b[K"

// above writes above the progress line.
type above struct {
	console *console
	to      io.Writer
}

func (a *above) Write(b []byte) (int, error) {
	c := a.console
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	if c.line == "" {
		c.midline = b[len(b)-1] != '\n'
		return a.to.Write(b)
	}
	if _, err := io.WriteString(c.err, eraseLine); err != nil {
		return 0, err
	}
	n, err := a.to.Write(b)
	c.midline = bytes.LastIndexByte(b, '\n') != len(b)-1
	if c.midline {
		c.line = ""
	} else {
		_, _ = io.WriteString(c.err, c.line)
	}
	return n, err
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:max(0, n-1)]) + "…"
}
