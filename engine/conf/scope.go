package conf

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Scope is what the values of one file may refer to, and where its problems go.
// It is used by one goroutine at a time.
type Scope struct {
	// File is the name that positions carry.
	File string
	// Source is the text of File. It is optional; with it, positions inside quoted text and block scalars are exact.
	Source []byte
	// Env looks up ${NAME}; nil means that no variable is set.
	Env func(name string) (string, bool)
	// Params holds the resolved values of params: string, int64, float64 or bool.
	// nil stands for a param without a value, which is reported where it is declared.
	Params map[string]any
	// Diags receives every problem; it must not be nil.
	Diags *diag.List
	// Uses receives which params were referred to by ${params.name}, and where. It is made when needed.
	Uses map[string][]diag.Span

	lines []string
}

// Span is the place of a node: all of a scalar that stands on one line, the first character of anything else.
func (s *Scope) Span(n *yaml.Node) diag.Span {
	if n == nil || n.Line == 0 {
		return diag.Span{File: s.File}
	}
	start := diag.Pos{Line: n.Line, Col: n.Column}
	span := diag.Span{File: s.File, Start: start}
	if n.Kind != yaml.ScalarNode || n.Value == "" || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return span
	}
	span.End = diag.Pos{Line: n.Line, Col: n.Column + utf8.RuneCountInString(n.Value)}
	quoted := n.Style & (yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle)
	if quoted != 0 {
		span.End.Col += 2
	}
	if line, ok := s.line(n.Line); ok {
		rest := from(line, n.Column)
		if quoted != 0 {
			rest = quotedPart(rest)
		} else if !strings.HasPrefix(rest, n.Value) {
			rest = strings.TrimRight(rest, " \t")
		} else {
			return span
		}
		span.End.Col = n.Column + utf8.RuneCountInString(rest)
	}
	return span
}

// quotedPart is the quoted text that s starts with, with its quotes, or all of s when it does not end there.
func quotedPart(s string) string {
	if s == "" {
		return s
	}
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"':
			i++
		case s[i] == quote && quote == '\'' && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return s[:i+1]
		}
	}
	return s
}

func (s *Scope) line(n int) (string, bool) {
	if s.Source == nil {
		return "", false
	}
	if s.lines == nil {
		s.lines = splitLines(s.Source)
	}
	if n < 1 || n > len(s.lines) {
		return "", false
	}
	return s.lines[n-1], true
}

func splitLines(src []byte) []string {
	text := strings.TrimPrefix(string(src), "\ufeff")
	return strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
}

func (s *Scope) errorf(span diag.Span, message, advice string) {
	s.Diags.Add(diag.Diagnostic{Severity: diag.Error, Span: span, Message: message, Advice: advice})
}
