package record

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// requireTime checks an RFC 3339 text against package time.
func requireTime(t require, text string) {
	t.Helper()
	got, err := ParseTime(StringValue(text), "auto")
	want, wantErr := time.Parse(time.RFC3339, text)
	fits := wantErr == nil && want.Year() > 1677 && want.Year() < 2262
	if fits != (err == nil) {
		if wantErr == nil && (want.Year() == 1677 || want.Year() == 2262) {
			return // the edges of int64
		}
		t.Fatalf("%q: got error %v, package time says %v", text, err, wantErr)
	}
	if err == nil && got != want.UnixNano() {
		t.Fatalf("%q: got %d, want %d", text, got, want.UnixNano())
	}
}

func TestTimesAreThoseOfPackageTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-9e9, 9e9).Draw(t, "sec"), rapid.Int64Range(0, 999999999).Draw(t, "ns"))
		zone := time.FixedZone("", 60*rapid.IntRange(-1439, 1439).Draw(t, "zone"))
		layout := rapid.SampledFrom([]string{time.RFC3339, time.RFC3339Nano, "2006-01-02T15:04:05.000Z07:00"}).Draw(t, "layout")
		text := at.In(zone).Format(layout)
		requireTime(t, text)
		if back, err := ParseTime(StringValue(FormatTime(at.UnixNano())), "rfc3339"); err != nil || back != at.UnixNano() {
			t.Fatalf("%s reads back as %d (%v)", FormatTime(at.UnixNano()), back, err)
		}
		// and with a fault
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		requireTime(t, text[:i]+rapid.SampledFrom([]string{"", "0", "3", "9", "-", "Z", ".", "x"}).Draw(t, "fault")+text[i+1:])
	})
}

func TestEveryDayOfFourCenturies(t *testing.T) {
	day := time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC)
	for day.Year() < 2101 {
		requireTime(t, day.Format("2006-01-02")+"T00:00:00Z")
		day = day.AddDate(0, 0, 1)
	}
	for year := 1678; year < 2262; year++ {
		for _, month := range []string{"02", "04", "12", "13", "00"} {
			for _, d := range []string{"00", "28", "29", "30", "31", "32"} {
				requireTime(t, time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006")+"-"+month+"-"+d+"T23:59:59.5+14:00")
			}
		}
	}
}

func TestUnixTimesKeepAllDigits(t *testing.T) {
	units := map[string]int64{"unix": 1e9, "unix_ms": 1e6, "unix_us": 1e3, "unix_ns": 1}
	rapid.Check(t, func(t *rapid.T) {
		literal := genLiteral.Draw(t, "literal")
		v, ok := parseNumber(literal)
		if !ok || strings.ContainsAny(literal, "eE") && len(literal) > 30 {
			return
		}
		for layout, unit := range units {
			exact, ok := new(big.Rat).SetString(literal)
			if !ok {
				t.Fatalf("%q", literal)
			}
			exact.Mul(exact, new(big.Rat).SetInt64(unit))
			whole := new(big.Int).Quo(exact.Num(), exact.Denom())
			for _, v := range []Value{v, StringValue(literal)} {
				got, err := ParseTime(v, layout)
				if whole.IsInt64() != (err == nil) || err == nil && got != whole.Int64() {
					t.Fatalf("%s as %s: got %d (%v), want %s", literal, layout, got, err, whole)
				}
			}
		}
	})
}

func TestTimeLayouts(t *testing.T) {
	const at = 1714564800000000000
	for _, tt := range []struct {
		v      Value
		layout string
		want   int64
		err    string
	}{
		{StringValue("2024-05-01T12:00:00Z"), "", at, ""},
		{StringValue("2024-05-01T14:00:00.000000001+02:00"), "auto", at + 1, ""},
		{IntValue(1714564800), "auto", at, ""},
		{IntValue(1714564800000), "auto", at, ""},
		{IntValue(1714564800000000), "auto", at, ""},
		{IntValue(at), "auto", at, ""},
		{FloatValue(1714564800.1), "auto", at + 100_000_000, ""},
		{FloatValue(1714564800.1), "unix", at + 100_000_000, ""},
		{StringValue("1714564800.123456789"), "unix", at + 123456789, ""},
		{StringValue("01.05.2024 12:00"), "02.01.2006 15:04", at, ""},
		{IntValue(20240501), "20060102", at - 12*3600*1e9, ""},
		{Value{kind: String, s: `2024-05-01T12:00:00\u005a`, escaped: true}, "auto", at, ""},
		{StringValue("1714564800"), "auto", 0, `"1714564800" is not an RFC 3339 time; for a number in quotes name the layout, such as unix_ms`},
		{StringValue("yesterday"), "auto", 0, `"yesterday" is not an RFC 3339 time`},
		{StringValue("yesterday"), "unix", 0, `"yesterday" is not a number`},
		{StringValue("x"), "2006", 0, `"x" is not a time of the form "2006"`},
		{Value{}, "auto", 0, `a missing field is not a time`},
		{NullValue(), "unix", 0, `null is not a number`},
		{BoolValue(true), "2006", 0, `true is not a time`},
		{IntValue(5), "rfc3339", 0, `5 is not a time`},
		{IntValue(math.MaxInt64), "unix", 0, `time 9223372036854775807 is outside of the years 1678 to 2261`},
		{FloatValue(math.Inf(1)), "unix", 0, `null is not a number`},
		{StringValue("9999-01-01T00:00:00Z"), "auto", 0, `time "9999-01-01T00:00:00Z" is outside of the years 1678 to 2261`},
	} {
		got, err := ParseTime(tt.v, tt.layout)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s as %q: got %d (%v), want %d %s", AppendValue(nil, tt.v), tt.layout, got, err, tt.want, tt.err)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2024-05-01T12:00:00.000Z", "1999-12-31T23:59:60+00:00", "2024-02-30T1:00:00,5Z", "2024-05-01T12:00:00-23:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { requireTime(t, s) })
}
