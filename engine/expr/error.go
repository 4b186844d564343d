package expr

import (
	"strings"

	"github.com/telluride-stream/telluride/engine/record"
)

// Error is what is wrong with an expression, or with evaluating it.
type Error struct {
	Offset  int // where, in bytes of the source
	Len     int // how many bytes are meant; 0: the place behind the last
	Message string
	Advice  string // what to do, or ""
}

func (e *Error) Error() string {
	if e.Advice == "" {
		return e.Message
	}
	return e.Message + "; " + e.Advice
}

func (t *text) problem(s span, message, advice string) *Error {
	s = t.balanced(s)
	return &Error{Offset: s.from, Len: s.to - s.from, Message: message, Advice: advice}
}

// site is one operation in the source. It words what can go wrong there.
type site struct {
	text     *text
	span     span
	name     string // as written: "*", "lower"
	verb     string // "multiplied", or "" for a function
	needs    string // what its operands must be: "numbers"
	fits     func(Type) bool
	pair     bool // the operands must fit each other
	operands []span
}

func (c *site) prefix() string { return `"` + c.text.quote(c.span) + `": ` }

func (c *site) problem(message, advice string) *Error {
	return c.text.problem(c.span, c.prefix()+message, advice)
}

// missing says that an operand is nil.
func (c *site) missing(i int, null bool) *Error {
	state := "missing (nil)"
	if null {
		state = "null (nil)"
	}
	cannot := func(what string) string {
		if c.verb == "" {
			return c.name + " cannot take " + what
		}
		return what + " cannot be " + c.verb
	}
	name := c.operand(i)
	if name == "nil" {
		return c.problem(cannot("nil"), "")
	}
	return c.problem(name+" is "+state+", so "+cannot("it"),
		`give a default, as in (`+name+` ?? `+c.fallback()+`), or filter on "`+name+` != nil" first`)
}

// fallback is a value that the operation would take.
func (c *site) fallback() string {
	switch {
	case c.name == "string", c.name == "len":
		return `""`
	case c.fits(Number):
		return "0"
	case c.fits(String):
		return `""`
	case c.fits(Bool):
		return "false"
	}
	return "[]"
}

// notA says that a text does not read as what it should be.
func (c *site) notA(v record.Value, what string) *Error {
	name, is := c.operand(0), shown(v)
	if name != is {
		is = name + " is " + is + ", which"
	}
	return c.problem(is+" is not "+what, "")
}

// wrong says that operands have types that the operation does not take.
func (c *site) wrong(types ...Type) *Error {
	for i, t := range types {
		if t == Null {
			return c.missing(i, true)
		}
	}
	var is []string
	for i, t := range types {
		if t != Any && (c.pair || !c.fits(t)) {
			what := t.plain()
			if t == Float && !c.fits(t) && c.fits(Int) {
				what = "a number with decimals"
			}
			is = append(is, c.operand(i)+" is "+what)
		}
	}
	advice := ""
	if c.pair && len(types) == 2 && (types[0].class() == String && types[1].class() == Number || types[0].class() == Number && types[1].class() == String) {
		advice = "string(…) makes text of a number, float(…) a number of text"
	}
	return c.problem(c.name+" needs "+c.needs+", but "+strings.Join(is, " and "), advice)
}

// wrongValues is wrong for values, of which a nil one is reported first.
func (c *site) wrongValues(values ...record.Value) *Error {
	types := make([]Type, len(values))
	for i, v := range values {
		if v.IsNil() {
			return c.missing(i, v.Kind() != record.Missing)
		}
		types[i] = kindType(v.Kind())
	}
	return c.wrong(types...)
}

func (c *site) operand(i int) string {
	if i < len(c.operands) {
		return c.text.quote(c.operands[i])
	}
	return "an operand"
}
