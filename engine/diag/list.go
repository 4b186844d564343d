package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// List collects diagnostics; its zero value is ready to use. It is not safe for concurrent use.
type List []Diagnostic

// Add appends diagnostics as they are.
func (l *List) Add(ds ...Diagnostic) { *l = append(*l, ds...) }

// Errorf appends an error without advice; Add takes one with advice.
func (l *List) Errorf(span Span, format string, args ...any) {
	l.Add(Diagnostic{Severity: Error, Span: span, Message: fmt.Sprintf(format, args...)})
}

// Warnf appends a warning without advice.
func (l *List) Warnf(span Span, format string, args ...any) {
	l.Add(Diagnostic{Severity: Warning, Span: span, Message: fmt.Sprintf(format, args...)})
}

// HasErrors says whether anything in the list stops a flow. Warnings do not.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Sort orders the list by file, position and message, and removes exact duplicates.
func (l *List) Sort() {
	slices.SortStableFunc(*l, compare)
	*l = slices.Compact(*l)
}

func compare(a, b Diagnostic) int {
	return cmp.Or(
		cmp.Compare(a.Span.File, b.Span.File),
		comparePos(a.Span.Start, b.Span.Start),
		cmp.Compare(a.Message, b.Message),
		cmp.Compare(a.Severity, b.Severity),
		cmp.Compare(a.Advice, b.Advice),
		comparePos(a.Span.End, b.Span.End),
	)
}

func comparePos(a, b Pos) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
}

// Err is the list as an error, or nil when it holds no errors. The error is a
// *ListError that also holds the warnings, so that a printer misses nothing.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return &ListError{List: slices.Clone(l)}
}

// ListError is a List that travels as an error; errors.As finds it, and each Diagnostic in it.
type ListError struct{ List List }

// Error is one line for each error of the list; warnings are left out.
func (e *ListError) Error() string {
	var lines []string
	for _, d := range e.List {
		if d.Severity == Error {
			lines = append(lines, d.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the errors of the list, without its warnings.
func (e *ListError) Unwrap() []error {
	var errs []error
	for _, d := range e.List {
		if d.Severity == Error {
			errs = append(errs, d)
		}
	}
	return errs
}
