package record

import (
	"math"
	"strconv"
)

// number is a number literal as the scanner saw it: ±mant × 10^exp.
type number struct {
	mant   uint64 // right when digits <= 19
	digits int    // all digits of the mantissa
	exp    int
	neg    bool
	float  bool // it has a fraction or an exponent
}

// number reads the number at i, which is a digit or a minus sign.
func (s *scanner) number(i int) int {
	var num number
	if s.at(i) == '-' {
		num.neg = true
		i++
	}
	start := i
	mant := uint64(0)
	c := s.at(i)
	for ; c-'0' <= 9; c = s.at(i) {
		mant = mant*10 + uint64(c-'0')
		i++
	}
	num.digits = i - start
	if num.digits == 0 {
		return s.fail(i, "expected a digit")
	}
	if num.digits > 1 && s.b[start] == '0' {
		return s.fail(start, "a number must not start with 0")
	}
	if c == '.' {
		i++
		start = i
		for c = s.at(i); c-'0' <= 9; c = s.at(i) {
			mant = mant*10 + uint64(c-'0')
			i++
		}
		if i == start {
			return s.fail(i, "expected a digit behind the decimal point")
		}
		num.float, num.exp = true, start-i
		num.digits += i - start
	}
	num.mant = mant
	if c == 'e' || c == 'E' {
		num.float = true
		i = s.exponent(i+1, &num)
	}
	s.num = num
	return i
}

func (s *scanner) exponent(i int, num *number) int {
	sign := 1
	switch s.at(i) {
	case '-':
		sign = -1
		i++
	case '+':
		i++
	}
	e, start := 0, i
	for c := s.at(i); c-'0' <= 9; c = s.at(i) {
		e = min(e*10+int(c-'0'), 1<<20) // beyond every float64
		i++
	}
	if i == start {
		return s.fail(i, "expected a digit in the exponent")
	}
	num.exp += sign * e
	return i
}

// numberValue is the value of the number that was just read.
func (s *scanner) numberValue(from, to int) Value {
	n, text := &s.num, s.text(from, to)
	if !n.float {
		switch {
		case n.mant == 0 && n.neg && n.digits == 1:
			return Value{kind: Float, s: text, n: 1 << 63} // -0 is no integer
		case n.digits > 19:
		case n.neg && n.mant <= 1<<63:
			return Value{kind: Int, s: text, n: -n.mant}
		case !n.neg && n.mant < 1<<63:
			return Value{kind: Int, s: text, n: n.mant}
		}
	}
	return Value{kind: Float, s: text, n: math.Float64bits(n.float64(text))}
}

// These powers of ten are exact.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float64 is the number nearest to the literal. When mantissa and power are
// both exact, one operation rounds once and is therefore right (Clinger, "How
// to read floating point numbers accurately", 1990).
func (n *number) float64(text string) float64 {
	if n.digits > 19 || n.mant > 1<<53 || n.exp < -22 || n.exp > 22 {
		f, _ := strconv.ParseFloat(text, 64) // ±Inf beyond the range
		return f
	}
	f := float64(n.mant)
	if n.exp < 0 {
		f /= pow10[-n.exp]
	} else {
		f *= pow10[n.exp]
	}
	if n.neg {
		f = -f
	}
	return f
}

// parseNumber is the value of a text that is one JSON number.
func parseNumber(text string) (Value, bool) {
	s := scanner{b: bytesOf(text)}
	if c := s.at(0); c != '-' && c-'0' > 9 || s.number(0) != len(text) {
		return Value{}, false
	}
	return s.numberValue(0, len(text)), true
}

// appendFloat writes f as encoding/json does: the shortest form that reads
// back as f, 3.0 as 3. JSON has neither NaN nor infinity: they become null.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 to e-9
		dst = dst[:n-1]
	}
	return dst
}
