package topology

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Of any keys, in any lanes, page after page shows each once and in order.
func TestPagesOfAViewShowEachKeyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.SliceOfN(rapid.SliceOfNDistinct(rapid.StringMatching("[a-d]{1,4}"), 0, 60, rapid.ID), 1, 3).Draw(t, "lanes")
		limit := rapid.IntRange(1, 9).Draw(t, "limit")
		known := map[string]bool{}
		for i, keys := range lanes {
			lanes[i] = slices.DeleteFunc(keys, func(key string) bool { seen := known[key]; known[key] = true; return seen })
		}
		var want, got []string
		for key := range known {
			want = append(want, key)
		}
		slices.Sort(want)
		for after, more := "", true; more; {
			v := view{Question: Question{After: after, Limit: limit}}
			for _, keys := range lanes {
				first := least{n: limit}
				for _, key := range keys {
					if after == "" || key > after {
						first.add(key)
					}
				}
				for _, key := range first.take() {
					v.Rows = append(v.Rows, Row{order: key}, Row{order: key}) // two windows are open
				}
				v.More = v.More || first.more
			}
			page := v.cut()
			if len(page.Rows) > 2*limit {
				t.Fatalf("%d rows for a limit of %d keys", len(page.Rows), limit)
			}
			for i := 0; i < len(page.Rows); i += 2 {
				got, after = append(got, page.Rows[i].order), page.Rows[i+1].order
			}
			more = page.More
			if more && len(page.Rows) == 0 {
				t.Fatal("a page is empty, and others are to follow")
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the pages show %v, want %v", got, want)
		}
	})
}
