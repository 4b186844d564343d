package window_test

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// The oracle computes what windows must emit, from whole inputs and without
// any code of the stage: it sorts and groups, and keeps every record.

// fact is one input: a record of a key with a number.
type fact struct {
	key       string
	x         float64
	missing   bool // x is not there
	time      int64
	watermark int64
	now       int64 // of its batch
}

func (f fact) event() event {
	text := fmt.Sprintf(`{"k":%q,"x":%v,"t":%d}`, f.key, f.x, f.time)
	if f.missing {
		text = fmt.Sprintf(`{"k":%q,"t":%d}`, f.key, f.time)
	}
	return event{json: text, time: f.time, watermark: f.watermark}
}

// oracleAggregates is the aggregate mapping whose results summary computes.
const oracleAggregates = `
  aggregate:
    n: "count()"
    nx: "count(x)"
    pos: {value: "sum(x)", where: "x != nil and x > 0"}
    sum: "sum(x)"
    min: "min(x)"
    max: "max(x)"
    mean: "mean(x)"
    dev: "stddev(x)"
    first: "first(x)"
    last: "last(x)"
`

const oracleSketches = `    sma: "sma(x, 3)"
    p50: "quantile(x, 0.5)"
    p90: "quantile(x, 0.9)"
    distinct: "distinct(x)"
    top: "top(x, 2)"
    list: "collect(x, 4)"
`

// summary is the result over facts in the order of their arrival.
func summary(facts []fact, sketches bool) map[string]any {
	m := map[string]any{"n": float64(len(facts)), "k": facts[0].key}
	var there []fact
	for _, f := range facts {
		if !f.missing {
			there = append(there, f)
		}
	}
	sort.SliceStable(there, func(i, j int) bool { return there[i].time < there[j].time })
	m["nx"] = float64(len(there))
	var xs []float64
	sum, pos, positive := 0.0, 0.0, false
	for _, f := range there {
		xs = append(xs, f.x)
		sum += f.x
		if f.x > 0 {
			pos, positive = pos+f.x, true
		}
	}
	for _, name := range []string{"pos", "sum", "min", "max", "mean", "dev", "first", "last"} {
		m[name] = nil
	}
	if positive {
		m["pos"] = pos
	}
	n := float64(len(xs))
	sorted := append([]float64(nil), xs...)
	sort.Float64s(sorted)
	if len(xs) > 0 {
		m["sum"], m["mean"] = sum, sum/n
		m["min"], m["max"] = sorted[0], sorted[len(sorted)-1]
		m["first"], m["last"] = xs[0], xs[len(xs)-1]
	}
	if len(xs) > 1 {
		squares := 0.0
		for _, x := range xs {
			squares += (x - sum/n) * (x - sum/n)
		}
		m["dev"] = math.Sqrt(squares / (n - 1))
	}
	if sketches {
		sketch(m, xs, sorted)
	}
	return m
}

func sketch(m map[string]any, xs, sorted []float64) {
	m["sma"], m["p50"], m["p90"] = nil, nil, nil
	list, top := []any{}, []any{}
	counts := map[float64]float64{}
	for i, x := range xs {
		if i < 4 {
			list = append(list, x)
		}
		counts[x]++
	}
	if n := len(xs); n > 0 {
		tail := xs[max(0, n-3):]
		sum := 0.0
		for _, x := range tail {
			sum += x
		}
		m["sma"] = sum / float64(len(tail))
		m["p50"] = sorted[int(0.5*float64(n-1))]
		m["p90"] = sorted[int(0.9*float64(n-1))]
	}
	var values []float64
	for x := range counts {
		values = append(values, x)
	}
	// Which of equally frequent values comes first is the stage's choice, so
	// only the counts are compared.
	sort.Slice(values, func(i, j int) bool { return counts[values[i]] > counts[values[j]] })
	for i := range min(2, len(values)) {
		top = append(top, counts[values[i]])
	}
	m["list"], m["top"], m["distinct"] = list, top, float64(len(counts))
}

// emission is one expected result, with what decides its place in the order.
type emission struct {
	key  string
	want map[string]any
	// at is the index of the fact before which it is emitted (or with which,
	// when behind is set), len(facts) at the end of input.
	at     int
	behind bool
	end    int64
}

// perKey sorts emissions as they must come out for each key.
func perKey(all []emission) map[string][]map[string]any {
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.at != b.at {
			return a.at < b.at
		}
		if a.behind != b.behind {
			return b.behind
		}
		return a.end < b.end
	})
	m := map[string][]map[string]any{}
	for _, e := range all {
		m[e.key] = append(m[e.key], e.want)
	}
	return m
}

func stamp(m map[string]any, start, end int64) map[string]any {
	m["window_start"] = time.Unix(0, start).UTC().Format(time.RFC3339Nano)
	m["window_end"] = time.Unix(0, end).UTC().Format(time.RFC3339Nano)
	return m
}

// reached is the first fact whose watermark is at least t.
func reached(facts []fact, t int64) int {
	for i, f := range facts {
		if f.watermark >= t {
			return i
		}
	}
	return len(facts)
}

// oracleHopping computes tumbling and hopping windows (tumbling: every = size).
func oracleHopping(facts []fact, size, every, late int64) (all []emission, lates []int) {
	type window struct {
		key   string
		start int64
	}
	members := map[window][]int{}
	for i, f := range facts {
		taken, any := false, false
		for start := f.time - f.time%every; start > f.time-size; start -= every {
			any = true
			if start+size+late > f.watermark {
				taken = true
				members[window{f.key, start}] = append(members[window{f.key, start}], i)
			}
		}
		if any && !taken {
			lates = append(lates, i)
		}
	}
	for w, list := range members {
		end := w.start + size
		fired := reached(facts, end)
		var content []fact
		for n, i := range list {
			content = append(content, facts[i])
			last := n+1 == len(list)
			switch {
			case i >= fired:
				all = append(all, emission{w.key, stamp(summary(content, true), w.start, end), i, true, end})
			case last || list[n+1] >= fired:
				all = append(all, emission{w.key, stamp(summary(content, true), w.start, end), fired, false, end})
			}
		}
	}
	return all, lates
}

// oracleSessions plays the input through, keeping sessions as lists of facts.
func oracleSessions(facts []fact, gap, limit, late int64) (all []emission, lates []int) {
	type session struct {
		key     string
		members []int
		fired   bool
	}
	reach := func(t int64) int64 {
		if limit > 0 {
			return min(t+gap, (t/limit+1)*limit)
		}
		return t + gap
	}
	bounds := func(s *session) (start, end int64) {
		start, end = math.MaxInt64, math.MinInt64
		for _, i := range s.members {
			start, end = min(start, facts[i].time), max(end, reach(facts[i].time))
		}
		return start, end
	}
	var open []*session
	emit := func(s *session, at int, behind bool) {
		sort.Ints(s.members)
		var content []fact
		for _, i := range s.members {
			content = append(content, facts[i])
		}
		start, end := bounds(s)
		all = append(all, emission{s.key, stamp(summary(content, true), start, end), at, behind, end})
		s.fired = true
	}
	fire := func(at int, watermark int64) {
		for _, s := range open {
			if _, end := bounds(s); !s.fired && end <= watermark {
				emit(s, at, false)
			}
		}
	}
	for i, f := range facts {
		fire(i, f.watermark)
		joined := &session{key: f.key, members: []int{i}}
		end := reach(f.time)
		var rest []*session
		for _, s := range open {
			from, to := bounds(s)
			if s.key == f.key && to+late > f.watermark && from < reach(f.time) && f.time < to {
				joined.members = append(joined.members, s.members...)
				end = max(end, to)
			} else {
				rest = append(rest, s)
			}
		}
		if end+late <= f.watermark {
			lates = append(lates, i)
			continue
		}
		open = append(rest, joined)
		if end <= f.watermark {
			emit(joined, i, true)
		}
	}
	fire(len(facts), math.MaxInt64)
	return all, lates
}

func oracleCount(facts []fact, size int) (all []emission) {
	content := map[string][]fact{}
	for i, f := range facts {
		content[f.key] = append(content[f.key], f)
		if len(content[f.key]) == size {
			all = append(all, emission{f.key, summary(content[f.key], true), i, true, 0})
			content[f.key] = nil
		}
	}
	for key, list := range content {
		if len(list) > 0 {
			all = append(all, emission{key, summary(list, true), len(facts), false, 0})
		}
	}
	return all
}

func oracleSlidingCount(facts []fact, n int, sketches bool) (all []emission) {
	content := map[string][]fact{}
	for i, f := range facts {
		content[f.key] = append(content[f.key], f)
		list := content[f.key]
		all = append(all, emission{f.key, summary(list[max(0, len(list)-n):], sketches), i, true, 0})
	}
	return all
}

func oracleSlidingTime(facts []fact, length int64, sketches bool) (all []emission, lates []int) {
	content := map[string][]fact{}
	for i, f := range facts {
		if f.time < f.watermark {
			lates = append(lates, i)
			continue
		}
		content[f.key] = append(content[f.key], f)
		var in []fact
		for _, g := range content[f.key] {
			if g.time > f.time-length && g.time <= f.time {
				in = append(in, g)
			}
		}
		all = append(all, emission{f.key, stamp(summary(in, sketches), f.time-length, f.time), i, true, 0})
	}
	return all, lates
}

// oracleGlobal emits, behind each batch that passes a multiple of every, the
// keys that changed since, and at the end those that changed after that.
func oracleGlobal(batches [][]fact, every int64) (all []emission) {
	content := map[string][]fact{}
	changed := map[string]bool{}
	emit := func(at int) {
		for key := range changed {
			all = append(all, emission{key, summary(content[key], true), at, true, 0})
		}
		changed = map[string]bool{}
	}
	tick, known := int64(0), false
	for b, batch := range batches {
		for _, f := range batch {
			content[f.key] = append(content[f.key], f)
			changed[f.key] = true
		}
		if len(batch) == 0 {
			continue
		}
		now := batch[0].now / every
		if known && now > tick {
			emit(b)
		}
		tick, known = now, true
	}
	emit(len(batches))
	return all
}
