package conf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Expanded is a text whose references were replaced.
type Expanded struct {
	Value string
	// Refs says that there was at least one ${…}.
	Refs bool
	// Env says that part of the value came from the environment, so that it may be a secret.
	Env bool
	// unset says that a param in it has no value.
	unset bool
}

// Expand replaces the references of a value: ${NAME}, ${NAME:-default}, ${params.x}; $${ is a literal ${.
// As in a shell, the default also stands in for a variable that is set but empty. Problems are reported at span with the
// context in front, and ok is then false. It is false, too, where a param has no value.
func (s *Scope) Expand(value string, span diag.Span, context string) (out Expanded, ok bool) {
	if !strings.Contains(value, "${") {
		return Expanded{Value: value}, true
	}
	ok = true
	fail := func(message, advice string) {
		ok = false
		s.errorf(span, join(context, message), advice)
	}
	var b strings.Builder
	for rest := value; rest != ""; {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			fail(fmt.Sprintf("%q has no closing brace", rest[i:]), `close it with "}", or write "$${" for a literal "${"`)
			break
		}
		ref := rest[i+2 : i+end]
		rest = rest[i+end+1:]
		out.Refs = true
		b.WriteString(s.resolve(ref, span, &out, fail))
	}
	out.Value = b.String()
	return out, ok && !out.unset
}

func (s *Scope) resolve(ref string, span diag.Span, out *Expanded, fail func(message, advice string)) string {
	name, fallback, hasFallback := strings.Cut(ref, ":-")
	if param, isParam := strings.CutPrefix(name, "params."); isParam {
		if hasFallback {
			fail(fmt.Sprintf("${%s} has a default", ref), fmt.Sprintf("write ${%s} and give the default under params:", name))
			return ""
		}
		if v, declared := s.Params[param]; declared && v == nil {
			out.unset = true
		}
		return s.param(param, span, fail)
	}
	if !isName(name) {
		advice := `write ${NAME}, ${NAME:-default} or ${params.name}; "$${" is a literal "${"`
		if name == "params" {
			advice = "write ${params.name}"
		}
		fail(fmt.Sprintf("${%s} is not a reference", ref), advice)
		return ""
	}
	out.Env = true
	if s.Env != nil {
		if v, set := s.Env(name); set && (v != "" || !hasFallback) {
			return v
		}
	}
	if !hasFallback {
		advice := fmt.Sprintf("set it, or write ${%s:-default}", name)
		if _, isParam := s.Params[name]; isParam {
			advice = fmt.Sprintf("a param is written ${params.%s}", name)
		}
		fail(fmt.Sprintf("environment variable %s is not set", name), advice)
	}
	return fallback
}

func (s *Scope) param(name string, span diag.Span, fail func(message, advice string)) string {
	if s.Uses == nil {
		s.Uses = map[string][]diag.Span{}
	}
	s.Uses[name] = append(s.Uses[name], span)
	v, known := s.Params[name]
	if !known {
		fail(unknown("param", name, s.paramNames()))
		return ""
	}
	return FormatParam(v)
}

func (s *Scope) paramNames() []string {
	names := make([]string, 0, len(s.Params))
	for n := range s.Params {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// FormatParam is the value of a param as it would be written in a file.
func FormatParam(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// unknown is the message and the advice for a name that is not among the known ones.
func unknown(what, name string, known []string) (message, advice string) {
	message = fmt.Sprintf("unknown %s %q", what, name)
	if near := diag.Suggest(name, known); near != "" {
		return message, fmt.Sprintf("did you mean %q?", near)
	}
	switch {
	case len(known) == 0:
		return message, fmt.Sprintf("no %s is known here", what)
	case len(known) > 12:
		return message, ""
	}
	return message, "known: " + strings.Join(known, ", ")
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func join(context, message string) string {
	if context == "" {
		return message
	}
	return context + ": " + message
}
