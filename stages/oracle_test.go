package stages_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// The oracle says what a window must emit. It reads the whole input with
// encoding/json, keeps every record, and computes each result anew from the
// records that belong to it. It shares no code with what it judges.

// fact is a line of the input.
type fact struct {
	key  string // as JSON, so that 1 and "1" differ
	x    *float64
	at   int64 // nanoseconds
	mark int64 // the watermark at its arrival
	line string
}

// readFacts reads the lines that are sound, with the watermark that a source
// with this much disorder has at each.
func readFacts(lines []string, outOfOrder time.Duration) (facts []fact, broken int) {
	mark := int64(math.MinInt64)
	for _, line := range lines {
		var doc struct {
			K json.RawMessage `json:"k"`
			X *float64        `json:"x"`
			T *time.Time      `json:"t"`
		}
		if json.Unmarshal([]byte(line), &doc) != nil || doc.T == nil {
			broken++
			continue
		}
		at := doc.T.UnixNano()
		mark = max(mark, at-int64(outOfOrder))
		facts = append(facts, fact{key: string(doc.K), x: doc.X, at: at, mark: mark, line: line})
	}
	return facts, broken
}

// expected is one result, with what decides its place among those of its key.
type expected struct {
	key string
	row map[string]any
	// turn is the fact at which it is emitted: twice its index when before
	// it, one more when with it.
	turn int
	end  int64
}

// inOrder are the results of each key in the order in which they must come.
func inOrder(all []expected) map[string][]map[string]any {
	slices.SortStableFunc(all, func(a, b expected) int { return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.end, b.end)) })
	rows := map[string][]map[string]any{}
	for _, e := range all {
		rows[e.key] = append(rows[e.key], e.row)
	}
	return rows
}

const theAggregates = `
      aggregate:
        n: "count()"
        nx: "count(x)"
        sum: "sum(x)"
        min: "min(x)"
        max: "max(x)"
        mean: "mean(x)"
        first: "first(x)"
        last: "last(x)"
        above: {value: "sum(x)", where: "x != nil and x > 0"}
`

// resultOf is the row of theAggregates over facts in the order of arrival.
func resultOf(facts []fact) map[string]any {
	var key any
	if err := json.Unmarshal([]byte(facts[0].key), &key); err != nil {
		panic(err)
	}
	row := map[string]any{"k": key, "n": float64(len(facts))}
	for _, name := range []string{"sum", "min", "max", "mean", "first", "last", "above"} {
		row[name] = nil
	}
	byTime := slices.DeleteFunc(slices.Clone(facts), func(f fact) bool { return f.x == nil })
	slices.SortStableFunc(byTime, func(a, b fact) int { return cmp.Compare(a.at, b.at) })
	row["nx"] = float64(len(byTime))
	if len(byTime) == 0 {
		return row
	}
	sum, low, high := 0.0, math.Inf(1), math.Inf(-1)
	for _, f := range byTime {
		sum, low, high = sum+*f.x, min(low, *f.x), max(high, *f.x)
		if *f.x > 0 {
			above, _ := row["above"].(float64)
			row["above"] = above + *f.x
		}
	}
	row["sum"], row["min"], row["max"], row["mean"] = sum, low, high, sum/float64(len(byTime))
	row["first"], row["last"] = *byTime[0].x, *byTime[len(byTime)-1].x
	return row
}

func bounded(row map[string]any, start, end int64) map[string]any {
	row["window_start"] = time.Unix(0, start).UTC().Format(time.RFC3339Nano)
	row["window_end"] = time.Unix(0, end).UTC().Format(time.RFC3339Nano)
	return row
}

// firstAt is the first fact at whose arrival the watermark has reached a time.
func firstAt(facts []fact, t int64) int {
	for i := range facts {
		if facts[i].mark >= t {
			return i
		}
	}
	return len(facts)
}

// gridOracle is for windows of one length that begin at multiples of every.
func gridOracle(facts []fact, size, every, lateness int64) (all []expected, late []int) {
	type window struct {
		key   string
		start int64
	}
	content := map[window][]int{}
	for i, f := range facts {
		inWindow, taken := false, false
		for start := f.at / every * every; start > f.at-size; start -= every {
			inWindow = true
			if start+size+lateness > f.mark {
				taken = true
				content[window{f.key, start}] = append(content[window{f.key, start}], i)
			}
		}
		if inWindow && !taken {
			late = append(late, i)
		}
	}
	for w, members := range content {
		end := w.start + size
		closed := firstAt(facts, end)
		onTime := 0
		var so []fact
		for _, i := range members {
			so = append(so, facts[i])
			if i < closed {
				onTime++
				continue
			}
			// A late record that is allowed is a revision of its own.
			all = append(all, expected{w.key, bounded(resultOf(so), w.start, end), 2*i + 1, end})
		}
		if onTime > 0 {
			all = append(all, expected{w.key, bounded(resultOf(so[:onTime]), w.start, end), 2 * closed, end})
		}
	}
	return all, late
}

// sessionOracle plays the sessions through as sets of facts.
func sessionOracle(facts []fact, gap, lateness int64) (all []expected, late []int) {
	type session struct {
		key     string
		members []int
		told    bool
	}
	span := func(s *session) (start, end int64) {
		start, end = math.MaxInt64, math.MinInt64
		for _, i := range s.members {
			start, end = min(start, facts[i].at), max(end, facts[i].at+gap)
		}
		return start, end
	}
	var live []*session
	tell := func(s *session, turn int) {
		slices.Sort(s.members)
		var members []fact
		for _, i := range s.members {
			members = append(members, facts[i])
		}
		start, end := span(s)
		all = append(all, expected{s.key, bounded(resultOf(members), start, end), turn, end})
		s.told = true
	}
	due := func(turn int, mark int64) {
		for _, s := range live {
			if _, end := span(s); !s.told && end <= mark {
				tell(s, turn)
			}
		}
	}
	for i, f := range facts {
		due(2*i, f.mark)
		grown := &session{key: f.key, members: []int{i}}
		var others []*session
		for _, s := range live {
			start, end := span(s)
			if s.key == f.key && end+lateness > f.mark && start < f.at+gap && f.at < end {
				grown.members = append(grown.members, s.members...)
			} else {
				others = append(others, s)
			}
		}
		_, end := span(grown)
		if end+lateness <= f.mark {
			late = append(late, i)
			continue
		}
		live = append(others, grown)
		if end <= f.mark {
			tell(grown, 2*i+1)
		}
	}
	due(2*len(facts), math.MaxInt64)
	return all, late
}

// countOracle is for windows of so many records of a key.
func countOracle(facts []fact, size int) (all []expected) {
	open := map[string][]fact{}
	for i, f := range facts {
		open[f.key] = append(open[f.key], f)
		if len(open[f.key]) == size {
			all = append(all, expected{f.key, resultOf(open[f.key]), 2*i + 1, 0})
			delete(open, f.key)
		}
	}
	for key, rest := range open {
		all = append(all, expected{key, resultOf(rest), 2 * len(facts), 0})
	}
	return all
}

// slidingCountOracle is for a result per record over the last few of its key.
func slidingCountOracle(facts []fact, n int) (all []expected) {
	seen := map[string][]fact{}
	for i, f := range facts {
		seen[f.key] = append(seen[f.key], f)
		all = append(all, expected{f.key, resultOf(seen[f.key][max(0, len(seen[f.key])-n):]), 2*i + 1, 0})
	}
	return all
}

// slidingTimeOracle is for a result per record over those of its key that are
// less than length older and have arrived.
func slidingTimeOracle(facts []fact, length int64) (all []expected, late []int) {
	seen := map[string][]fact{}
	for i, f := range facts {
		if f.at < f.mark {
			late = append(late, i)
			continue
		}
		seen[f.key] = append(seen[f.key], f)
		within := slices.DeleteFunc(slices.Clone(seen[f.key]), func(g fact) bool { return g.at <= f.at-length || g.at > f.at })
		all = append(all, expected{f.key, bounded(resultOf(within), f.at-length, f.at), 2*i + 1, 0})
	}
	return all, late
}

// alike says whether two decoded documents are equal, but for the last digits
// of numbers.
func alike(got, want any) bool {
	switch want := want.(type) {
	case float64:
		got, ok := got.(float64)
		return ok && math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for k := range want {
			if v, ok := got[k]; !ok || !alike(v, want[k]) {
				return false
			}
		}
		return true
	}
	return got == want
}

// byKey decodes lines and sorts them by their key, in their order.
func byKey(lines []string) (map[string][]map[string]any, error) {
	rows := map[string][]map[string]any{}
	for _, line := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		key, err := json.Marshal(row["k"])
		if err != nil {
			return nil, err
		}
		rows[string(key)] = append(rows[string(key)], row)
	}
	return rows, nil
}
