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
// "cannot <verb>" and "needs <needs>".
func describe(name string, operands int) (verb, needs string, fits func(Type) bool, pair bool) {
	switch name {
	case "+":
		if operands == 1 {
			return "use as a number", "a number", isNumber, false
		}
		return "add", "two numbers or two texts", isNumberOrText, true
	case "-":
		if operands == 1 {
			return "negate", "a number", isNumber, false
		}
		return "subtract", "numbers", isNumber, false
	case "*":
		return "multiply", "numbers", isNumber, false
	case "/":
		return "divide", "numbers", isNumber, false
	case "%":
		return "take the remainder", "integers", isInteger, false
	case "**", "^":
		return "raise to a power", "numbers", isNumber, false
	case "..":
		return "count from there", "integers", isInteger, false
	case "<", "<=", ">", ">=":
		return "compare", "two numbers or two texts", isNumberOrText, true
	case "==", "!=":
		return "compare", "two values of one type", isAnything, true
	case "!", "not", "&&", "and", "||", "or":
		return "use as a condition", "true or false", isBool, false
	case "?":
		return "use as a condition", "true or false in front of it", isBool, false
	case "contains", "startsWith", "endsWith", "matches":
		return "search in it", "texts", isText, false
	case "in":
		return "look into it", "a list or an object on its right", isAnything, false
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
		return "take a part of it", "text or a list", hasLength, false
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
