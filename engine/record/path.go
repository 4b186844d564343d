package record

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParsePath reads a field path: `a`, `a.b`, `tags[0].x`, `["odd name"].x`,
// `a['odd.name']`. A name without brackets consists of letters, digits, `_`,
// `-`, `$` and `@`; in brackets it is a string with the escapes of JSON, in
// either kind of quotes. Errors name the character, counted from 1.
func ParsePath(s string) (Path, error) {
	p := pathParser{s: s}
	path, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", s, err)
	}
	return path, nil
}

type pathParser struct {
	s string
	i int
}

func (p *pathParser) parse() (Path, error) {
	if p.s == "" {
		return nil, fmt.Errorf("it is empty")
	}
	var path Path
	for p.i < len(p.s) {
		var (
			step Step
			err  error
		)
		switch {
		case p.s[p.i] == '[':
			step, err = p.bracket()
		case len(path) == 0:
			step, err = p.name()
		case p.s[p.i] == '.':
			p.i++
			step, err = p.name()
		default:
			err = p.errorf(p.i, "expected '.' or '[', got %s", p.got())
		}
		if err != nil {
			return nil, err
		}
		path = append(path, step)
	}
	return path, nil
}

func (p *pathParser) name() (Step, error) {
	start := p.i
	for p.i < len(p.s) {
		r, size := utf8.DecodeRuneInString(p.s[p.i:])
		if !bare(r) {
			break
		}
		p.i += size
	}
	if p.i == start {
		return Step{}, p.errorf(start, "expected a field name, got %s", p.got())
	}
	return Step{Key: p.s[start:p.i]}, nil
}

func (p *pathParser) bracket() (Step, error) {
	open := p.i
	p.i++
	var step Step
	switch c := p.peek(); {
	case c == '"' || c == '\'':
		key, err := p.quoted(c)
		if err != nil {
			return Step{}, err
		}
		step.Key = key
	case c >= '0' && c <= '9':
		start := p.i
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			p.i++
		}
		n, err := strconv.Atoi(p.s[start:p.i])
		if err != nil || n > math.MaxInt32 {
			return Step{}, p.errorf(start, "the list position is too large")
		}
		step = Step{Index: n, List: true}
	case c == '-':
		return Step{}, p.errorf(p.i, "a list position counts from 0 and is not negative")
	default:
		return Step{}, p.errorf(p.i, "expected a list position or a quoted name, got %s", p.got())
	}
	if p.peek() != ']' {
		return Step{}, p.errorf(p.i, "expected ']' for the '[' at character %d, got %s", p.char(open), p.got())
	}
	p.i++
	return step, nil
}

func (p *pathParser) quoted(quote byte) (string, error) {
	open := p.i
	// The JSON scanner knows the escapes; it wants the other quotes.
	var literal strings.Builder
	literal.WriteByte('"')
	for p.i++; p.i < len(p.s) && p.s[p.i] != quote; p.i++ {
		switch c := p.s[p.i]; {
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			if p.s[p.i] != '\'' {
				literal.WriteByte('\\')
			}
			literal.WriteByte(p.s[p.i])
		case c == '"':
			literal.WriteString(`\"`)
		default:
			literal.WriteByte(c)
		}
	}
	if p.i >= len(p.s) {
		return "", p.errorf(open, "the quoted name does not end")
	}
	p.i++
	literal.WriteByte('"')
	s := scanner{b: []byte(literal.String())}
	end, _ := s.str(1)
	if end < 0 {
		return "", p.errorf(open, "the quoted name is not a JSON string: %s", s.err.Msg)
	}
	return unescape(string(s.b[1:end])), nil
}

func (p *pathParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *pathParser) got() string {
	if p.i >= len(p.s) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.s[p.i:])
	return strconv.QuoteRune(r)
}

// char is the position of a byte, in characters from 1.
func (p *pathParser) char(i int) int { return utf8.RuneCountInString(p.s[:i]) + 1 }

func (p *pathParser) errorf(at int, format string, args ...any) error {
	return fmt.Errorf("character %d: %s", p.char(at), fmt.Sprintf(format, args...))
}

// bare says whether a character of a name needs no quotes.
func bare(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			r == '_' || r == '-' || r == '$' || r == '@'
	case r == utf8.RuneError:
		return false // it may stand for bytes that are not UTF-8
	}
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)
}

// write appends the step as ParsePath reads it.
func (s Step) write(b *strings.Builder, first bool) {
	switch {
	case s.List:
		fmt.Fprintf(b, "[%d]", s.Index)
	case s.Key != "" && strings.IndexFunc(s.Key, func(r rune) bool { return !bare(r) }) < 0:
		if !first {
			b.WriteByte('.')
		}
		b.WriteString(s.Key)
	default:
		b.WriteByte('[')
		b.Write(appendQuoted(nil, s.Key))
		b.WriteByte(']')
	}
}
