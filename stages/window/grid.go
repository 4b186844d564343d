package window

import (
	"math"
	"time"
)

// grid is how tumbling and hopping windows lie in time. Panes of one width
// cover the time; window w consists of span panes, the first of which is pane
// w*step. A tumbling window is one pane.
type grid struct {
	width      int64 // of a pane: nanoseconds, or days with a location
	offset     int64 // where pane 0 begins, likewise
	step, span int64
	location   *time.Location // nil: UTC, where every day has 24 hours
}

const week = 7 * day

// monday is the first Monday of Unix time, in days.
const monday = 4

func newGrid(size, every time.Duration, location *time.Location) grid {
	unit := time.Duration(1)
	if location != nil {
		unit = day
	}
	width := gcd(size, every)
	g := grid{width: int64(width / unit), step: int64(every / width), span: int64(size / width), location: location}
	if every%week == 0 {
		g.offset = int64(monday * day / unit)
	}
	return g
}

// pane is the pane that a time lies in.
func (g *grid) pane(t int64) int64 {
	if g.location == nil {
		if t < math.MinInt64+g.offset {
			t = math.MinInt64 + g.offset
		}
		return floorDiv(t-g.offset, g.width)
	}
	return floorDiv(dayOf(t, g.location)-g.offset, g.width)
}

// start is when a pane begins, held within the range of int64.
func (g *grid) start(pane int64) int64 {
	if g.location == nil {
		const far = math.MaxInt64 / 2
		if pane > (far-g.offset)/g.width || pane < -far/g.width {
			return saturated(pane, g.width, g.offset)
		}
		return pane*g.width + g.offset
	}
	return nanoseconds(dayStart(pane*g.width+g.offset, g.location))
}

func saturated(pane, width, offset int64) int64 {
	at := float64(pane)*float64(width) + float64(offset)
	switch {
	case at >= math.MaxInt64:
		return math.MaxInt64
	case at <= math.MinInt64:
		return math.MinInt64
	}
	return pane*width + offset
}

// windows are the first and the last window that a pane is part of. It is
// part of none when first > last.
func (g *grid) windows(pane int64) (first, last int64) {
	return -floorDiv(g.span-1-pane, g.step), floorDiv(pane, g.step)
}

// bounds are the time at which a window begins and the time at which it has
// ended.
func (g *grid) bounds(window int64) (start, end int64) {
	return g.start(window * g.step), g.end(window)
}

func (g *grid) end(window int64) int64 { return g.start(window*g.step + g.span) }

// dayOf is the number of the day, counted from 1970-01-01, in which a time lies.
func dayOf(t int64, location *time.Location) int64 {
	y, m, d := time.Unix(0, t).In(location).Date()
	n := floorDiv(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), 86400)
	seconds := floorDiv(t, int64(time.Second))
	// Where clocks go back over midnight a date comes twice.
	for seconds < dayStart(n, location) {
		n--
	}
	for seconds >= dayStart(n+1, location) {
		n++
	}
	return n
}

// dayStart is the first second at which the local date is that day or later.
// Midnight does not exist on every day, and exists twice on others.
func dayStart(n int64, location *time.Location) int64 {
	midnight := n * 86400 // in local seconds
	for at := midnight - 26*3600; ; {
		zone := time.Unix(at, 0).In(location)
		_, offset := zone.Zone()
		_, end := zone.ZoneBounds()
		if start := max(at, midnight-int64(offset)); end.IsZero() || start < end.Unix() {
			return start
		}
		at = end.Unix()
	}
}

func nanoseconds(seconds int64) int64 {
	const limit = math.MaxInt64 / int64(time.Second)
	switch {
	case seconds > limit:
		return math.MaxInt64
	case seconds < -limit:
		return math.MinInt64
	}
	return seconds * int64(time.Second)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// later is t+d, held within the range of int64.
func later(t, d int64) int64 {
	if t > math.MaxInt64-d {
		return math.MaxInt64
	}
	return t + d
}

// earlier is t-d likewise.
func earlier(t, d int64) int64 {
	if t < math.MinInt64+d {
		return math.MinInt64
	}
	return t - d
}
