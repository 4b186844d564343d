package record

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads a time, in nanoseconds since 1970, by layout:
//
//	"auto" or ""  RFC 3339 text, or a number that is taken by its size:
//	              below 1e11 seconds, below 1e14 milliseconds,
//	              below 1e17 microseconds, else nanoseconds
//	"rfc3339"     RFC 3339 text
//	"unix", "unix_ms", "unix_us", "unix_ns"
//	              a number, or text that is one, in this unit
//	other         a layout of Go's package time; UTC unless it has a zone
//
// Numbers keep all their digits; what is finer than a nanosecond is cut off.
// A time that does not fit (before 1677 or after 2262) is an error.
func ParseTime(v Value, layout string) (int64, error) {
	switch layout {
	case "", "auto":
		if v.IsNumber() {
			return parseAuto(v)
		}
		if v.kind == String {
			return parseRFC3339(v.Str())
		}
	case "rfc3339":
		if v.kind == String {
			return parseRFC3339(v.Str())
		}
	case "unix":
		return parseUnix(v, 9)
	case "unix_ms":
		return parseUnix(v, 6)
	case "unix_us":
		return parseUnix(v, 3)
	case "unix_ns":
		return parseUnix(v, 0)
	default:
		if v.kind == String || v.IsNumber() {
			return parseLayout(v.Text(), layout)
		}
	}
	return 0, fmt.Errorf("%s is not a time", describe(v))
}

// describe is the value as an error shows it.
func describe(v Value) string {
	const most = 64
	if v.kind == Missing {
		return "a missing field"
	}
	text := string(AppendValue(nil, v))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func parseAuto(v Value) (int64, error) {
	scale := 0
	switch size := math.Abs(v.Float()); {
	case size < 1e11:
		scale = 9
	case size < 1e14:
		scale = 6
	case size < 1e17:
		scale = 3
	}
	return parseUnix(v, scale)
}

// parseUnix reads a number of units of 10^scale nanoseconds.
func parseUnix(v Value, scale int) (int64, error) {
	if v.kind == Int {
		unit := int64(pow10[scale])
		if i := int64(v.n); i <= math.MaxInt64/unit && i >= math.MinInt64/unit {
			return i * unit, nil
		}
		return 0, outOfRange(v)
	}
	literal := v.s
	switch {
	case v.kind == Float && literal == "":
		literal = strconv.FormatFloat(v.Float(), 'e', -1, 64) // shortest: 0.1 is 0.1
	case v.kind == String:
		literal = v.Str()
	case v.kind != Float:
		return 0, fmt.Errorf("%s is not a number", describe(v))
	}
	s := scanner{b: bytesOf(literal)}
	if c := s.at(0); c != '-' && c-'0' > 9 || s.number(0) != len(literal) {
		return 0, fmt.Errorf("%s is not a number", describe(v))
	}
	ns, ok := decimal(literal, s.num.exp+scale)
	if !ok {
		return 0, outOfRange(v)
	}
	return ns, nil
}

// decimal is the integer part of the digits of a literal times 10^exp, with
// no rounding on the way.
func decimal(literal string, exp int) (int64, bool) {
	digits := make([]byte, 0, 40)
	for i := range len(literal) {
		c := literal[i]
		if c == 'e' || c == 'E' {
			break
		}
		if c-'0' <= 9 && (c != '0' || len(digits) > 0) {
			digits = append(digits, c)
		}
	}
	return place(digits, exp, literal[0] == '-')
}

// place is ±digits × 10^exp without its fraction.
func place(digits []byte, exp int, neg bool) (int64, bool) {
	if len(digits) == 0 || len(digits)+exp <= 0 {
		return 0, true
	}
	if len(digits)+exp > 19 {
		return 0, false
	}
	sum := uint64(0)
	for i := range len(digits) + exp {
		sum *= 10
		if i < len(digits) {
			sum += uint64(digits[i] - '0')
		}
	}
	if neg {
		return -int64(sum), sum <= 1<<63
	}
	return int64(sum), sum < 1<<63
}

func outOfRange(v Value) error {
	return fmt.Errorf("time %s is outside of the years 1678 to 2261", describe(v))
}

// parseRFC3339 reads the usual form by hand and leaves the others to package time.
func parseRFC3339(s string) (int64, error) {
	if sec, rest, ok := civil(s); ok {
		if ns, rest, ok := fraction(rest); ok {
			if offset, ok := zone(rest); ok {
				return join(sec-offset, ns, s)
			}
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err == nil {
		return join(t.Unix(), int64(t.Nanosecond()), s)
	}
	hint := ""
	if _, ok := parseNumber(s); ok {
		hint = "; for a number in quotes name the layout, such as unix_ms"
	}
	return 0, fmt.Errorf("%s is not an RFC 3339 time%s", describe(StringValue(s)), hint)
}

func parseLayout(s, layout string) (int64, error) {
	t, err := time.Parse(layout, s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a time of the form %q", describe(StringValue(s)), layout)
	}
	return join(t.Unix(), int64(t.Nanosecond()), s)
}

// join is sec seconds and ns nanoseconds, if they fit.
func join(sec, ns int64, text string) (int64, error) {
	const most = math.MaxInt64 / 1_000_000_000
	if sec >= most || sec <= -most {
		return 0, outOfRange(StringValue(text))
	}
	return sec*1_000_000_000 + ns, nil
}

// civil reads 2006-01-02T15:04:05 as seconds since 1970.
func civil(s string) (int64, string, bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, "", false
	}
	century, year := two(s, 0), two(s, 2)
	month, day := two(s, 5), two(s, 8)
	hour, minute, second := two(s, 11), two(s, 14), two(s, 17)
	if century|year < 0 || month < 1 || month > 12 || day < 1 || day > 28 && day > daysIn(month, century*100+year) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, "", false
	}
	days := daysSince1970(century*100+year, month, day)
	return int64(days)*86400 + int64(hour*3600+minute*60+second), s[19:], true
}

// two reads two digits; it is negative if they are none.
func two(s string, i int) int {
	a, b := s[i]-'0', s[i+1]-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
}

func daysIn(month, year int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts years from March, so that the leap day comes last:
// Howard Hinnant, "chrono-compatible low-level date algorithms".
func daysSince1970(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
}

// fraction reads an optional fraction of a second.
func fraction(s string) (int64, string, bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	ns, scale, i := int64(0), int64(1_000_000_000), 1
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		if scale > 1 {
			scale /= 10
			ns += int64(s[i]-'0') * scale
		}
	}
	return ns, s[i:], i > 1
}

// zone reads Z or ±hh:mm as seconds east of UTC.
func zone(s string) (int64, bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != 6 || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hours, minutes := two(s, 1), two(s, 4)
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, false
	}
	offset := int64(hours*3600 + minutes*60)
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// FormatTime is a time in nanoseconds since 1970 as RFC 3339 text in UTC,
// with as many digits behind the second as it needs.
func FormatTime(ns int64) string { return string(AppendTime(nil, ns)) }

// AppendTime writes what [FormatTime] returns.
func AppendTime(dst []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(dst, time.RFC3339Nano)
}
