package conf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Number is a field with an order: a number, a duration or a size. Its methods narrow what the field takes.
type Number[T cmp.Ordered] struct {
	field  *field
	value  *T
	source scalar
	format func(T) string
	got    bool
}

// Min refuses values below the limit. The default is not checked.
func (n *Number[T]) Min(limit T) *Number[T] {
	n.field.doc.Min = n.format(limit)
	n.field.doc.min = limit
	if n.got && !n.field.bad && *n.value < limit {
		n.outside("below the minimum "+n.format(limit), "use at least "+n.format(limit))
	}
	return n
}

// Max refuses values above the limit. The default is not checked.
func (n *Number[T]) Max(limit T) *Number[T] {
	n.field.doc.Max = n.format(limit)
	n.field.doc.max = limit
	if n.got && !n.field.bad && *n.value > limit {
		n.outside("above the maximum "+n.format(limit), "use at most "+n.format(limit))
	}
	return n
}

// Required refuses a file without the field. The default is then only what the variable holds.
func (n *Number[T]) Required() *Number[T] {
	n.field.required()
	return n
}

// Optional says that the field has no default: what the variable holds without it stands for "not given".
func (n *Number[T]) Optional() *Number[T] {
	n.field.doc.optional()
	return n
}

// Given says whether the file has the field.
func (n *Number[T]) Given() bool { return n.field.given() }

func (n *Number[T]) outside(where, advice string) {
	shown := n.format(*n.value)
	if n.source.Refs {
		shown += " (from " + n.source.node.Value + ")"
	}
	n.field.failName(n.source.span, shown+" is "+where, advice)
}

// number declares an ordered field: parse reads the text of a value, and refuses it with an error.
func number[T cmp.Ordered](f *Fields, p *T, name string, def T, doc *FieldDoc, want string, format func(T) string, parse func(scalar) (T, error), advice func(scalar, error) string) *Number[T] {
	*p = def
	doc.Name, doc.Default, doc.def = name, format(def), def
	n := &Number[T]{field: f.declare(doc), value: p, format: format}
	v, ok := n.field.scalar(want)
	if !ok {
		return n
	}
	n.source = v
	x, err := parse(v)
	switch {
	case errors.Is(err, errRange):
		n.field.fail(v.span, v.shown(doc)+" is too large", "use a smaller one")
	case err != nil:
		n.field.expected(v, want, advice(v, err))
	default:
		*p, n.got = x, true
	}
	return n
}

const wholeNumber = "a whole number"

// Int declares a whole number.
func (f *Fields) Int(p *int, name string, def int, doc string) *Number[int] {
	return number(f, p, name, def, &FieldDoc{Type: TypeInt, Doc: doc}, wholeNumber, strconv.Itoa, func(v scalar) (int, error) {
		n, err := wholeOf(v)
		if err == nil && (n > math.MaxInt || n < math.MinInt) {
			err = errRange
		}
		return int(n), err
	}, numberAdvice)
}

// Int64 declares a whole number of 64 bits.
func (f *Fields) Int64(p *int64, name string, def int64, doc string) *Number[int64] {
	format := func(n int64) string { return strconv.FormatInt(n, 10) }
	return number(f, p, name, def, &FieldDoc{Type: TypeInt, Doc: doc}, wholeNumber, format, wholeOf, numberAdvice)
}

// Float declares a finite number.
func (f *Fields) Float(p *float64, name string, def float64, doc string) *Number[float64] {
	format := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	return number(f, p, name, def, &FieldDoc{Type: TypeFloat, Doc: doc}, "a number", format, func(v scalar) (float64, error) {
		if !v.plain() {
			return 0, errQuoted
		}
		return parseFloat(v.value)
	}, numberAdvice)
}

// Duration declares a length of time that is not negative: "500ms", "1h30m", "2d", "1w".
func (f *Fields) Duration(p *time.Duration, name string, def time.Duration, doc string) *Number[time.Duration] {
	return number(f, p, name, def, &FieldDoc{Type: TypeDuration, Doc: doc}, "a duration", FormatDuration, func(v scalar) (time.Duration, error) {
		return ParseDuration(v.value)
	}, durationAdvice)
}

// Size declares a number of bytes: "1024", "64KiB", "10MB".
func (f *Fields) Size(p *int64, name string, def int64, doc string) *Number[int64] {
	return number(f, p, name, def, &FieldDoc{Type: TypeSize, Doc: doc}, "a size in bytes", FormatSize, func(v scalar) (int64, error) {
		return ParseSize(v.value)
	}, func(_ scalar, err error) string {
		return "write a number of bytes, or one with a unit such as 64KiB or 10MB" + because(err)
	})
}

var errQuoted = errors.New("quoted")

func wholeOf(v scalar) (int64, error) {
	if !v.plain() {
		return 0, errQuoted
	}
	return parseInt(v.value)
}

func numberAdvice(v scalar, err error) string {
	if errors.Is(err, errQuoted) {
		if _, err := parseFloat(v.value); err == nil {
			return "remove the quotes"
		}
	}
	if n, err := strconv.ParseInt(v.value, 10, 64); err == nil && !v.Env {
		return fmt.Sprintf("remove the leading zeros: %d", n)
	}
	return ""
}

func durationAdvice(v scalar, err error) string {
	if _, numberErr := parseFloat(v.value); numberErr == nil && !v.Env && v.value[0] != '-' {
		return fmt.Sprintf("add a unit: %ss, %sms, …", v.value, v.value)
	}
	return "write a number with a unit (ns, us, ms, s, m, h, d, w), such as 500ms or 1h30m" + because(err)
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}
