package clock_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/clock"
)

// No pause is longer than the limit or shorter than 0.7 of the doubled one
// before it, whatever chance says.
func TestPausesDoubleUpToTheirLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Second)).Draw(t, "first"))
		limit := first * time.Duration(rapid.IntRange(2, 1000).Draw(t, "limit"))
		steady := rapid.Bool().Draw(t, "steady")
		pauses := clock.NewPauses(first, limit, steady)
		for round := range 2 {
			want := float64(first)
			for i := range 20 {
				got := pauses.Next()
				low, high := 0.7*min(want, float64(limit)/1.3), 1.3*want
				if steady {
					low, high = min(want, float64(limit)), want
				}
				const rounding = 2 * time.Nanosecond
				if got > limit || float64(got) < low-float64(rounding) || float64(got) > high+float64(rounding) {
					t.Fatalf("pause %d of round %d is %v, not between %v and %v, at most %v", i, round, got, time.Duration(low), time.Duration(high), limit)
				}
				want *= 2
			}
			pauses.Reset()
		}
	})
}
