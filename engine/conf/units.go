package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var errRange = errors.New("too large")

const day = 24 * time.Hour

// unitOf gives the length of a unit of time, or 0. A day is 24 hours and a week seven days.
func unitOf(s string) time.Duration {
	switch s {
	case "ns":
		return time.Nanosecond
	case "us", "µs", "μs":
		return time.Microsecond
	case "ms":
		return time.Millisecond
	case "s":
		return time.Second
	case "m":
		return time.Minute
	case "h":
		return time.Hour
	case "d":
		return day
	case "w":
		return 7 * day
	}
	return 0
}

// ParseDuration reads durations such as "500ms", "1.5h", "2d" and "1w2d3h": what time.ParseDuration reads,
// and d and w, without a sign. A number without unit is refused. The error says what is wrong, without naming the value.
func ParseDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, errors.New("it is empty")
	}
	var total time.Duration
	for rest := s; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if i < 0 {
			return 0, errors.New("the unit is missing")
		}
		if i == 0 {
			if rest[0] == '-' {
				return 0, errors.New("it is negative")
			}
			return 0, errors.New("it is not a duration")
		}
		number := rest[:i]
		rest = rest[i:]
		j := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		if j < 0 {
			j = len(rest)
		}
		unit := unitOf(rest[:j])
		if unit == 0 {
			return 0, fmt.Errorf("%q is not a unit of time", rest[:j])
		}
		rest = rest[j:]
		part, err := scale(number, int64(unit))
		if err != nil {
			return 0, err
		}
		if total += time.Duration(part); total < 0 {
			return 0, errRange
		}
	}
	return total, nil
}

// scale is number × unit in whole steps; number is digits with at most one point.
func scale(number string, unit int64) (int64, error) {
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil {
		if whole > math.MaxInt64/unit {
			return 0, errRange
		}
		return whole * unit, nil
	} else if errors.Is(err, strconv.ErrRange) {
		return 0, errRange
	}
	x, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", number)
	}
	if x *= float64(unit); x >= math.MaxInt64 {
		return 0, errRange
	}
	return int64(math.Round(x)), nil
}

// FormatDuration is the short form that ParseDuration reads: "1d", "1m30s", "500ms".
func FormatDuration(d time.Duration) string {
	if d < 0 {
		return "-" + FormatDuration(-d)
	}
	var b strings.Builder
	if days := d / day; days > 0 {
		fmt.Fprintf(&b, "%dd", days)
		d -= days * day
		if d == 0 {
			return b.String()
		}
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return b.String() + s
}

// ParseSize reads a number of bytes: "1024", "64KiB" (powers of 1024), "10MB" (powers of 1000).
// The case of the unit does not matter. The error says what is wrong, without naming the value.
func ParseSize(s string) (int64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '_' })
	if i < 0 {
		i = len(s)
	}
	number := strings.ReplaceAll(s[:i], "_", "")
	if number == "" {
		if strings.HasPrefix(s, "-") {
			return 0, errors.New("it is negative")
		}
		return 0, errors.New("it is not a size")
	}
	written := strings.TrimLeft(s[i:], " ")
	var unit int64
	switch strings.ToLower(written) {
	case "", "b":
		unit = 1
	case "kb":
		unit = 1000
	case "mb":
		unit = 1000 * 1000
	case "gb":
		unit = 1000 * 1000 * 1000
	case "tb":
		unit = 1000 * 1000 * 1000 * 1000
	case "kib":
		unit = 1 << 10
	case "mib":
		unit = 1 << 20
	case "gib":
		unit = 1 << 30
	case "tib":
		unit = 1 << 40
	default:
		return 0, fmt.Errorf("%q is not a unit of size", written)
	}
	return scale(number, unit)
}

// FormatSize is the shortest exact form that ParseSize reads.
func FormatSize(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n != 0 && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseInt reads whole numbers as they are meant: 010 is refused, since YAML 1.1 and 1.2 disagree about it.
func parseInt(s string) (int64, error) {
	digits := strings.TrimLeft(s, "+-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		return 0, errors.New("leading zeros")
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errRange
	}
	return n, err
}

func parseFloat(s string) (float64, error) {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		if n, err := parseInt(s); err == nil {
			return float64(n), nil
		}
		return 0, errors.New("not a number")
	}
	x, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errRange
	}
	return x, err
}
