package telemetry

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A node's numbers are those of a naive list of everything that it did.
func TestANodeSumsUpWhatItDid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		begin := now
		n := new(Ledger).Row("window", "w").Node(3)
		n.Begin(now, []string{"w"})
		phase, spent := Idle, map[Phase]time.Duration{}
		var calls []time.Duration
		var records uint64
		var first, last time.Time
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			d := time.Duration(rapid.IntRange(0, 1e9).Draw(t, "took"))
			now = now.Add(d)
			spent[phase] += d
			phase = Phase(rapid.IntRange(int(Idle), int(Blocked)).Draw(t, "phase"))
			n.Enter(phase, now)
			if rapid.Bool().Draw(t, "call") {
				r := rapid.IntRange(0, 100).Draw(t, "records")
				n.Call(r, d, now)
				calls, records, last = append(calls, d), records+uint64(r), now
				if first.IsZero() {
					first = now
				}
			}
		}
		after := time.Duration(rapid.IntRange(0, 1e9).Draw(t, "after"))
		spent[phase] += after
		got := n.stats(now.Add(after))
		want := NodeStats{
			Lane: 3, Stages: got.Stages, Phase: phase, Calls: uint64(len(calls)), Records: records, First: first, LastAt: last,
			Idle: spent[Idle], Busy: spent[Busy], Blocked: spent[Blocked], Mean: mean(calls), SMA: mean(calls[max(0, len(calls)-60):]),
		}
		for i, d := range calls {
			want.Last, want.Max = d, max(want.Max, d)
			if i == 0 || d < want.Min {
				want.Min = d
			}
		}
		if !got.First.Equal(want.First) || !got.LastAt.Equal(want.LastAt) || math.Abs(got.Mean-want.Mean) > 1 || math.Abs(got.SMA-want.SMA) > 1 {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		got.First, got.LastAt, got.Mean, got.SMA = want.First, want.LastAt, want.Mean, want.SMA
		if len(got.Stages) != 1 || got.Since(NodeStats{}) != want.Since(NodeStats{}) || got.Idle+got.Busy+got.Blocked != now.Add(after).Sub(begin) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		got.Stages, want.Stages = nil, nil
		if g, w := got, want; g.Calls != w.Calls || g.Records != w.Records || g.Last != w.Last || g.Min != w.Min || g.Max != w.Max || g.Phase != w.Phase || g.Idle != w.Idle || g.Busy != w.Busy || g.Blocked != w.Blocked {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func mean(all []time.Duration) (m float64) {
	for _, d := range all {
		m += float64(d) / float64(len(all))
	}
	return m
}

func TestANodeThatIsGoneStandsStill(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	n := new(Ledger).Row("window", "w").Node(0)
	n.Begin(now, []string{"w"})
	n.Enter(Busy, now.Add(time.Second))
	n.End(now.Add(3 * time.Second))
	for _, later := range []time.Duration{3 * time.Second, time.Hour} {
		if s := n.stats(now.Add(later)); s.Phase != Gone || s.Idle != time.Second || s.Busy != 2*time.Second || s.Blocked != 0 {
			t.Errorf("%v later: %+v", later, s)
		}
	}
	// A change brings it back: what was counted stays.
	n.Begin(now.Add(time.Hour), []string{"w", "x"})
	s := n.stats(now.Add(time.Hour + time.Second))
	if share := s.Since(NodeStats{}); s.Idle != 2*time.Second || s.Busy != 2*time.Second || share.Busy != 0.5 || len(s.Stages) != 2 {
		t.Errorf("%+v, %+v", s, share)
	}
}

// The buckets are Prometheus': a value lies above the bound of the bucket
// before its own, and not above that of its own.
func TestAHistogramPutsValuesBetweenTheBoundsOfTheirBuckets(t *testing.T) {
	var h Histogram
	sum := 0.0
	for i := range 10_000 {
		v := math.Exp2(rand.Float64()*40 - 25)
		if i%10 == 0 {
			v = math.Exp2(float64(i%40 - 20)) // a bound itself
		}
		var one Histogram
		one.Observe(v)
		h.Observe(v)
		sum += v
		for b := range one.Stats().Buckets {
			low, high := math.Exp2(float64(b-1)/4), math.Exp2(float64(b)/4)
			if v <= low*(1-1e-12) || v > high*(1+1e-12) {
				t.Fatalf("%v is in the bucket (%v, %v]", v, low, high)
			}
		}
	}
	h.Observe(0)
	s := h.Stats()
	if s.Count != 10_001 || s.Zeros != 1 || math.Abs(s.Sum-sum) > sum*1e-9 {
		t.Errorf("%d values, %d zeros, sum %v, want %v", s.Count, s.Zeros, s.Sum, sum)
	}
	if q := s.Quantile(0.5); q < math.Exp2(-6) || q > math.Exp2(-4) {
		t.Errorf("the median is %v", q)
	}
}

func BenchmarkCall(b *testing.B) {
	n := new(Ledger).Row("window", "w").Node(0)
	now := time.Now()
	n.Begin(now, []string{"w"})
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		n.Enter(Idle, now)
		n.Enter(Busy, now)
		n.Call(100, time.Microsecond, now)
	}
}
