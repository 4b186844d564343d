package expr

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/expr-lang/expr/builtin"
)

// goType is a Go type's name in plain words.
func goType(name string) string {
	switch name {
	case "string":
		return "text"
	case "bool":
		return "true or false"
	case "time.Time":
		return "a time"
	case "time.Duration":
		return "a duration"
	case "*time.Location":
		return "a time zone"
	case "nil", "<nil>", "unknown":
		return "nil"
	case "interface {}", "any", "interface":
		return "a value"
	}
	switch {
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"), strings.HasPrefix(name, "float"):
		return "a number"
	case strings.HasPrefix(name, "[]"), strings.HasPrefix(name, "[2]"), name == "slice", name == "array":
		return "a list"
	case strings.HasPrefix(name, "map"):
		return "an object"
	case strings.HasPrefix(name, "func"):
		return "a function"
	}
	return name
}

// rewrite is a message of expr-lang and how it reads here. In the new text,
// $1 is the first group, and @1 the first group as a type in plain words.
type rewrite struct {
	pattern *regexp.Regexp
	message string
}

func rule(pattern, message string) rewrite { return rewrite{regexp.MustCompile(pattern), message} }

var typeRules = []rewrite{
	rule(`^invalid operation: (\S+) \(mismatched types (.+) and (.+)\)$`, `$1 cannot be used with @2 and @3`),
	rule(`^invalid operation: (\S+) \(mismatched type (.+)\)$`, `$1 cannot be used with @2`),
	rule(`^cannot use (.+) as argument \(type (.+)\) to call (\S+) ?$`, `$3 needs @2, not @1`),
	rule(`^not enough arguments to call (\S+)$`, `$1 needs more arguments`),
	rule(`^too many arguments to call (\S+)$`, `$1 needs fewer arguments`),
	rule(`^invalid number of arguments (?:for \w+ )?\(expected at (least|most) (\d+), got (\d+)\)$`, `the function takes at $1 $2 arguments, not $3`),
	rule(`^invalid number of arguments (?:for \w+ )?\(expected (.+), got (\d+)\)$`, `the function takes $1 arguments, not $2`),
	rule(`^invalid argument for (\w+) \(type (.+)\)$`, `$1 cannot take @2`),
	rule(`^builtin (\w+) takes only array \(got (.+)\)$`, `$1 needs a list, not @2`),
	rule(`^predicate should return boolean \(got (.+)\)$`, `the condition must be true or false, not @1`),
	rule(`^predicate should has .*$`, `the part behind the comma must have a value`),
	rule(`^cannot redeclare (?:\w+ )?(\S+)$`, `let $1: the name "$1" is taken already`),
	rule(`^unknown pointer #(.*)$`, `unknown name "#$1"`),
	rule(`^cannot use pointer accessor outside predicate$`, `# has a meaning only inside filter, map and the like`),
	rule(`^unknown (?:name|field|builtin) (.+)$`, `unknown name "$1"`),
	rule(`^type (.+) has no (?:field|method) (.+)$`, `@1 has no "$2"`),
	rule(`^type (.+)\[.*\] is undefined$`, `@1 has no parts`),
	rule(`^type (.+) does not support indexing$`, `@1 has no parts`),
	rule(`^cannot use (.+) as type (.+) in (?:array|map key)$`, `@1 is never in there`),
	rule(`^cannot use (.+) to get an element from (.+)$`, `@2 has no part that is named by @1`),
	rule(`^array elements can only be selected using an integer \(got (.+)\)$`, `a position in a list is an integer, not @1`),
	rule(`^non-bool expression \(type (.+)\) used as condition$`, `the condition must be true or false, not @1`),
	rule(`^non-integer slice index (.+)$`, `a position is an integer, not @1`),
	rule(`^cannot (slice|concat|flatten|uniq|reverse) (.+)$`, `cannot $1 @2`),
	rule(`^cannot (take|get \w+(?: element)?|transform) (?:from |elements )?(.+?)(?: elements| to pairs| from pairs)?$`, `cannot $1: it is @2`),
	rule(`^sortBy order argument must be a string \(got (.+)\)$`, `the order of sortBy is "asc" or "desc", not @1`),
	rule(`^(.+) is not callable$`, `@1 is not a function`),
}

var runtimeRules = []rewrite{
	rule(`^interface conversion: interface \{\} is (.+), not (.+)$`, `there is @1 where @2 is needed`),
	rule(`^interface conversion: .*`, `a value has the wrong type`),
	rule(`^memory budget exceeded$`, `it makes too much data`),
	rule(`^(?:runtime error: )?integer divide by zero$`, `division by zero`),
	rule(`^cannot fetch (.+) from (.+)$`, `@2 has no "$1"`),
	rule(`^cannot slice (.+)$`, `cannot take a part of it: it is nil or no list`),
	rule(`^invalid argument for (\w+) \(type (.+)\)$`, `$1 cannot take @2`),
	rule(`^invalid operation: (int|float)\((.+)\)$`, `$1 cannot take @2`),
	rule(`^invalid operation: (\S+) (\S+) (\S+)$`, `$2 cannot be used with @1 and @3`),
	rule(`^reflect: .*`, `a value has the wrong type or is missing (nil)`),
	rule(`^recursion depth exceeded$`, `it is nested too deeply`),
}

// argumentCount is what expr-lang says of the last form of a function that
// has several, whatever was wrong with the others.
var argumentCount = regexp.MustCompile(`^(?:not enough|too many) arguments to call (\S+)$`)

func plainType(m string) (message, advice string) {
	if strings.HasPrefix(m, "error parsing regexp: ") {
		return "the pattern does not compile: " + strings.TrimPrefix(m, "error parsing regexp: "), ""
	}
	if f := argumentCount.FindStringSubmatch(m); f != nil {
		if i, ok := builtin.Index[f[1]]; ok && len(builtin.Builtins[i].Types) > 1 {
			return f[1] + " does not take these arguments", ""
		}
	}
	return reword(typeRules, m), ""
}

func plainRuntime(m string) string { return reword(runtimeRules, m) }

func reword(rules []rewrite, m string) string {
	m, _, _ = strings.Cut(m, "\n")
	for _, r := range rules {
		groups := r.pattern.FindStringSubmatch(m)
		if groups == nil {
			continue
		}
		out := r.message
		for i := len(groups) - 1; i > 0; i-- {
			n := string(rune('0' + i))
			out = strings.ReplaceAll(out, "$"+n, groups[i])
			out = strings.ReplaceAll(out, "@"+n, goType(groups[i]))
		}
		return out
	}
	return m
}

// plainPattern is why a regular expression does not compile.
func plainPattern(err error) string {
	var e *syntax.Error
	if errors.As(err, &e) {
		return e.Code.String() + ": " + e.Expr
	}
	return err.Error()
}
