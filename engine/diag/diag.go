// Package diag holds what is wrong with a file and where: positions,
// diagnostics, lists of them, and a printer that shows the source line.
//
// It knows nothing of YAML or of stages.
package diag

import (
	"fmt"
	"strings"
)

// Pos is a place in a file. Line and Col count from 1, Col in characters; the zero Pos means "nowhere in particular".
type Pos struct {
	Line, Col int
}

// Span is a stretch of a file, from Start up to but not including End.
// An End that is zero, or not behind Start, marks one character.
type Span struct {
	File       string
	Start, End Pos
}

// Severity says whether a diagnostic stops a flow.
type Severity uint8

const (
	Error Severity = iota
	Warning
)

// Diagnostic is one problem: where it is, what it is and what to do.
type Diagnostic struct {
	Severity Severity
	Span     Span
	Message  string // what is wrong, without position: `unknown stage "fliter"`
	Advice   string // what to do, or "": `did you mean "filter"?`
}

// String is the header of a diagnostic, without the source:
// `flows/a.yaml:7:11: window: size 0s is below the minimum 1ms; use at least 1ms`.
// Parts that are unknown (file, position, advice) are left out.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.header())
	if d.Advice != "" {
		b.WriteString("; ")
		b.WriteString(d.Advice)
	}
	return b.String()
}

// Error is String, so that a diagnostic can travel as an error.
func (d Diagnostic) Error() string { return d.String() }

// String is `file:line:col`, of which unknown parts are left out.
func (s Span) String() string {
	switch {
	case s.Start == (Pos{}):
		return s.File
	case s.File == "":
		return s.Start.String()
	}
	return s.File + ":" + s.Start.String()
}

// String is `line:col`, or "" for the zero Pos.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return ""
	case p.Col == 0:
		return fmt.Sprint(p.Line)
	}
	return fmt.Sprintf("%d:%d", p.Line, p.Col)
}

// Before says whether p comes before q in a file.
func (p Pos) Before(q Pos) bool {
	return p.Line < q.Line || p.Line == q.Line && p.Col < q.Col
}

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

func (d Diagnostic) header() string {
	h := d.Message
	if d.Severity == Warning {
		h = "warning: " + h
	}
	if at := d.Span.String(); at != "" {
		h = at + ": " + h
	}
	return h
}
