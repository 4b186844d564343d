package expr

import (
	"github.com/expr-lang/expr/ast"
)

func isNumber(t Type) bool       { return t.numeric() }
func isInteger(t Type) bool      { return t == Int || t == Number }
func isText(t Type) bool         { return t == String }
func isBool(t Type) bool         { return t == Bool }
func isNumberOrText(t Type) bool { return t.numeric() || t == String }
func isNumberOrList(t Type) bool { return t.numeric() || t == List }
func hasLength(t Type) bool      { return t == String || t == List || t == Map }
func isList(t Type) bool         { return t == List }
func isAnything(Type) bool       { return true }

// describe says what an operator or function takes, in the words of messages:
// "cannot be <verb>" and "needs <needs>".
func describe(name string, operands int) (verb, needs string, fits func(Type) bool, pair bool) {
	switch name {
	case "+":
		if operands == 1 {
			return "used as a number", "a number", isNumber, false
		}
		return "added", "two numbers or two texts", isNumberOrText, true
	case "-":
		if operands == 1 {
			return "negated", "a number", isNumber, false
		}
		return "calculated with", "numbers", isNumber, false
	case "*":
		return "multiplied", "numbers", isNumber, false
	case "/":
		return "calculated with", "numbers", isNumber, false
	case "%":
		return "calculated with", "integers", isInteger, false
	case "**", "^":
		return "calculated with", "numbers", isNumber, false
	case "..":
		return "counted from", "integers", isInteger, false
	case "<", "<=", ">", ">=":
		return "compared", "two numbers or two texts", isNumberOrText, true
	case "==", "!=":
		return "compared", "two values of one type", isAnything, true
	case "!", "not", "&&", "and", "||", "or":
		return "used as a condition", "true or false", isBool, false
	case "?":
		return "used as a condition", "true or false in front of it", isBool, false
	case "contains", "startsWith", "endsWith", "matches":
		return "searched", "texts", isText, false
	case "in":
		return "looked into", "a list or an object on its right", isAnything, false
	case "lower", "upper", "trim":
		return "", "text", isText, false
	case "len":
		return "", "text, a list or an object", hasLength, false
	case "int", "float":
		return "", "a number or text", isNumberOrText, false
	case "abs", "round", "floor", "ceil":
		return "", "a number", isNumber, false
	case "min", "max":
		return "", "numbers", isNumberOrList, false
	case "string":
		return "", "a value", isAnything, false
	case "[:]":
		return "cut", "text or a list", hasLength, false
	}
	return "", "a list", isList, false
}

// newSite describes the operation at a node of the source.
func newSite(t *text, spans map[ast.Node]span, n ast.Node, name string, operands ...ast.Node) *site {
	s := &site{text: t, span: spans[n], name: name}
	s.verb, s.needs, s.fits, s.pair = describe(name, len(operands))
	for _, o := range operands {
		s.operands = append(s.operands, spans[o])
	}
	return s
}
