package window_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

func moment(t *testing.T, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixNano()
}

func TestDaysBeginAtLocalMidnight(t *testing.T) {
	for _, tc := range []struct{ zone, size, at, start, end string }{
		{"", "1d", "2024-03-31T12:00:00Z", "2024-03-31T00:00:00Z", "2024-04-01T00:00:00Z"},
		{"Europe/Vienna", "1d", "2024-03-31T12:00:00Z", "2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00"},
		{"Europe/Vienna", "1d", "2024-03-30T22:59:59Z", "2024-03-30T00:00:00+01:00", "2024-03-31T00:00:00+01:00"},
		{"Europe/Vienna", "1d", "2024-10-27T00:30:00Z", "2024-10-27T00:00:00+02:00", "2024-10-28T00:00:00+01:00"},
		// There is no midnight on this day: clocks go from 24:00 to 01:00.
		{"America/Sao_Paulo", "1d", "2018-11-04T03:00:00Z", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},
		{"America/Sao_Paulo", "1d", "2018-11-04T02:59:59Z", "2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00"},
		// The hour before midnight comes twice.
		{"America/Sao_Paulo", "1d", "2018-02-18T02:30:00Z", "2018-02-17T00:00:00-02:00", "2018-02-18T00:00:00-03:00"},
		// Midnight comes twice.
		{"America/Havana", "1d", "2023-11-05T04:30:00Z", "2023-11-05T00:00:00-04:00", "2023-11-06T00:00:00-05:00"},
		{"Pacific/Kiritimati", "1d", "1994-12-30T12:00:00Z", "1994-12-30T00:00:00-10:00", "1995-01-01T00:00:00+14:00"},
		{"", "1w", "2024-05-01T00:00:00Z", "2024-04-29T00:00:00Z", "2024-05-06T00:00:00Z"},
		{"Europe/Vienna", "1w", "2024-04-03T00:00:00Z", "2024-04-01T00:00:00+02:00", "2024-04-08T00:00:00+02:00"},
		{"", "10s", "1969-12-31T23:59:59Z", "1969-12-31T23:59:50Z", "1970-01-01T00:00:00Z"},
	} {
		f := build(t, fmt.Sprintf("window: {by: [], tumbling: %s, timezone: %q, aggregate: {n: count()}}", tc.size, tc.zone))
		l := newLane(t, f)
		when := moment(t, tc.at)
		l.batch(0, record.None, event{json: "{}", time: when, watermark: when})
		l.batch(0, record.End)
		equalLines(t, l.lines(), []string{fmt.Sprintf(`{"window_start":%q,"window_end":%q,"n":1}`, tc.start, tc.end)})
		if got := l.rows[0]; got.time != moment(t, tc.end)-1 || got.watermark != got.time {
			t.Errorf("%s: time %d, watermark %d", tc.at, got.time, got.watermark)
		}
	}
}

// TestEveryMomentIsInOneDay walks through years with odd changes of clocks.
func TestEveryMomentIsInOneDay(t *testing.T) {
	for _, zone := range []string{"America/Sao_Paulo", "America/Havana", "Africa/Casablanca", "Asia/Tehran", "Australia/Lord_Howe"} {
		f := build(t, fmt.Sprintf("window: {by: [], tumbling: 1d, timezone: %s, aggregate: {n: count()}}", zone))
		l := newLane(t, f)
		from := moment(t, "2017-01-01T00:00:00Z")
		var events []event
		for at := from; at < moment(t, "2019-03-01T00:00:00Z"); at += int64(30 * time.Minute) {
			events = append(events, event{json: "{}", time: at, watermark: at})
		}
		n := len(events)
		l.batch(0, record.End, events...)
		l.lines()
		previous := ""
		for i, r := range l.rows {
			m := r.object(t)
			n -= int(m["n"].(float64))
			if i > 0 && m["window_start"] != previous {
				t.Errorf("%s: a window begins at %v, the one before ends at %s", zone, m["window_start"], previous)
			}
			previous = m["window_end"].(string)
		}
		if n != 0 {
			t.Errorf("%s: %d records are in no window", zone, n)
		}
	}
}

func TestExtremeTimesDoNotPanic(t *testing.T) {
	for _, kind := range []string{"tumbling: 1d", "tumbling: 7d", "tumbling: 1d, timezone: Europe/Vienna", "hopping: {size: 3s, every: 2s}", "session: {gap: 3s, max: 5s}", "sliding: {last: 3s}"} {
		l := newLane(t, build(t, "window: {by: [], "+kind+", aggregate: {n: count()}}"))
		for _, at := range []int64{-1 << 63, -1<<63 + 1, 0, 1<<63 - 2, 1<<63 - 1} {
			l.batch(0, record.None, event{json: "{}", time: at, watermark: -1 << 63})
		}
		l.batch(0, record.End)
		l.lines()
		for _, reason := range l.reasons {
			if len(reason) > 5 && reason[:5] != "late:" {
				t.Errorf("%s: %s", kind, reason)
			}
		}
	}
}

func TestIntermediateResults(t *testing.T) {
	l := newLane(t, build(t, "window: {by: k, tumbling: 10s, emit: {every: 1s}, aggregate: {n: count()}}"))
	counts := func() string {
		text := ""
		for _, r := range l.rows {
			m := r.object(t)
			text += fmt.Sprintf("%v=%v ", m["k"], m["n"])
		}
		l.rows = nil
		return text
	}
	steps := []struct {
		now    int64
		events []event
		want   string
	}{
		{500e6, []event{at(1, `{"k":"a"}`)}, ""},                 // the first batch only starts the clock
		{900e6, []event{at(1, `{"k":"b"}`)}, ""},                 // no multiple of a second has passed
		{1000e6, nil, "a=1 b=1 "},                                // now one has
		{1999e6, []event{at(2, `{"k":"b"}`)}, ""},                //
		{3500e6, nil, "b=2 "},                                    // once, though two have passed; a has not changed
		{4000e6, nil, ""},                                        //
		{4100e6, []event{at(12, `{"k":"b"}`)}, "a=1 b=2 "},       // both close, changed or not
		{5000e6, []event{at(3, `{"k":"b"}`).under(12)}, "b=1 "},  // the late one changes nothing
		{6000e6, []event{at(13, `{"k":"b"}`).under(12)}, "b=2 "}, //
	}
	for i, s := range steps {
		l.batch(s.now, record.None, s.events...)
		if got := counts(); got != s.want {
			t.Errorf("step %d: got %q, want %q", i, got, s.want)
		}
	}
	if l.counts.Late != 1 {
		t.Errorf("%d late", l.counts.Late)
	}
}

func TestUnchangedResultsAreEmittedWhenAskedFor(t *testing.T) {
	for _, kind := range []string{"tumbling: 1h", "session: {gap: 1h}", "count: 100", "global: true"} {
		l := newLane(t, build(t, "window: {by: k, "+kind+", emit: {every: 1s, changed_only: false}, aggregate: {n: count()}}"))
		l.batch(0, record.None, at(1, `{"k":"a"}`))
		l.batch(1e9, record.None)
		l.batch(2e9, record.None)
		if len(l.rows) != 2 || l.rows[0].json != l.rows[1].json || l.rows[0].id != l.rows[1].id {
			t.Errorf("%s: got %v", kind, l.rows)
		}
		l.batch(3e9, record.None, at(1, `{"k":"a"}`))
		if len(l.rows) != 3 || l.rows[2].id == l.rows[0].id {
			t.Errorf("%s: got %v", kind, l.rows)
		}
	}
}

func TestTheTimerSurvivesARestart(t *testing.T) {
	for _, kind := range []string{"tumbling: 1h", "session: {gap: 1h}", "global: true"} {
		l := newLane(t, build(t, "window: {by: k, "+kind+", emit: {every: 1s}, aggregate: {n: count()}}"))
		l.batch(0, record.None, at(1, `{"k":"a"}`))
		l.batch(1e9, record.None, at(1, `{"k":"b"}`)) // both are emitted
		l.batch(11e8, record.Checkpoint, at(1, `{"k":"b"}`))
		l.restart()
		l.rows = nil
		l.batch(12e8, record.None)
		l.batch(2e9, record.None) // only b has changed
		if len(l.rows) != 1 || l.rows[0].object(t)["k"] != "b" || l.rows[0].object(t)["n"] != 2.0 {
			t.Errorf("%s: got %v", kind, l.rows)
		}
	}
}

func TestAllowedLatenessCorrectsResults(t *testing.T) {
	l := newLane(t, build(t, "window: {by: k, tumbling: 10s, allowed_lateness: 5s, aggregate: {n: count()}}"))
	l.batch(0, record.None,
		at(1, `{"k":"a"}`), at(12, `{"k":"a"}`), // the first window fires
		at(2, `{"k":"a"}`).under(14.9), // corrected
		at(3, `{"k":"b"}`).under(14.9), // a window that had nothing before
		at(4, `{"k":"a"}`).under(15),   // too late
	)
	equalLines(t, l.lines(), []string{
		`{"k":"a","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z","n":1}`,
		`{"k":"a","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z","n":2}`,
		`{"k":"b","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z","n":1}`,
	})
	equalLines(t, l.sides, []string{`late: {"k":"a"}`})
	equalLines(t, l.reasons, []string{"late: its time is 1970-01-01T00:00:04Z, but its window was closed when the watermark came to 1970-01-01T00:00:15Z"})
	if r := l.rows[0]; r.time != 10*second-1 || r.watermark != 10*second-1 {
		t.Errorf("first firing: time %d, watermark %d", r.time, r.watermark)
	}
	if r := l.rows[1]; r.time != 10*second-1 || r.watermark != 14_900_000_000 {
		t.Errorf("correction: time %d, watermark %d", r.time, r.watermark)
	}
}

func TestTheReasonOfALateRecordSaysWhatWasClosed(t *testing.T) {
	const further = " was closed when the watermark came to 1970-01-01T00:00:10Z; it is now at 1970-01-01T00:01:30Z, 1m20s further"
	for kind, want := range map[string]string{
		"tumbling: 10s":                   "late: its time is 1970-01-01T00:00:09Z, but its window" + further,
		"hopping: {size: 10s, every: 5s}": "late: its time is 1970-01-01T00:00:09Z, but the last of its windows" + strings.ReplaceAll(further, "00:00:10Z", "00:00:15Z"),
		"session: {gap: 1s}":              "late: its time is 1970-01-01T00:00:09Z, but a session with it" + further,
		"sliding: {last: 10s}":            "late: its time is 1970-01-01T00:00:09Z, but a sliding window takes records in the order of time, and the watermark is at 1970-01-01T00:01:30Z already, 1m21s further",
	} {
		want = strings.ReplaceAll(want, "15Z; it is now at 1970-01-01T00:01:30Z, 1m20s", "15Z; it is now at 1970-01-01T00:01:30Z, 1m15s")
		l := newLane(t, build(t, "window: {by: k, "+kind+", aggregate: {n: count()}}"))
		l.batch(0, record.None, at(90, `{"k":"a"}`), at(9, `{"k":"a"}`).under(90))
		equalLines(t, l.reasons, []string{want})
	}
}

func TestSlidingWindowsAreBounded(t *testing.T) {
	l := newLane(t, build(t, "window: {by: k, sliding: {last: 10s, max_records: 2}, aggregate: {n: count()}}"))
	l.batch(0, record.None, at(1, `{"k":"a"}`), at(2, `{"k":"a"}`), at(3, `{"k":"a"}`), at(3, `{"k":"b"}`), at(11, `{"k":"a"}`))
	if len(l.rows) != 4 || l.rows[3].object(t)["n"] != 2.0 {
		t.Errorf("got %v", l.rows)
	}
	equalLines(t, l.reasons, []string{"the sliding window holds max_records (2) of this key already"})
}
