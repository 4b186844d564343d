package telemetry

import (
	"math"
	"sort"
	"sync/atomic"
)

// Histogram counts observations in buckets that grow by the fourth root of
// two, which are those of a native histogram of Prometheus with [Schema]. It
// may be used from several goroutines; an observation is two atomic additions.
type Histogram struct {
	sum     atomic.Uint64 // the bits of a float64
	zeros   atomic.Uint64
	buckets [octaves * perOctave]atomic.Uint64
}

const (
	// Schema is the resolution of a [Histogram], as Prometheus numbers it.
	Schema = 2
	// perOctave is the number of buckets between a value and its double.
	perOctave = 1 << Schema
	// The buckets reach from 2^lowest, about a nanosecond in seconds, over so
	// many octaves, to four million. What lies outside counts in the first or
	// the last.
	lowest  = -30
	octaves = 52
)

// bounds are those of the buckets between 0.5 and 1.
var bounds = [perOctave]float64{0.5, math.Sqrt2 / 2 * 0.8408964152537145, math.Sqrt2 / 2, 0.8408964152537145}

// Observe counts a value. Negative ones count as 0.
func (h *Histogram) Observe(v float64) {
	if v > 0 {
		h.buckets[bucketOf(v)].Add(1)
		for {
			was := h.sum.Load()
			if h.sum.CompareAndSwap(was, math.Float64bits(math.Float64frombits(was)+v)) {
				break
			}
		}
	} else {
		h.zeros.Add(1)
	}
}

func bucketOf(v float64) int {
	frac, exp := math.Frexp(v)
	i := (exp-1-lowest)*perOctave + sort.SearchFloat64s(bounds[:], frac)
	return min(max(i, 0), octaves*perOctave-1)
}

// HistogramStats is what a [Histogram] holds.
type HistogramStats struct {
	Count uint64
	Sum   float64
	// Zeros is how many values were 0.
	Zeros uint64
	// Buckets counts values by their bucket's number i: those above
	// 2^((i-1)/4), up to 2^(i/4). Empty buckets are missing.
	Buckets map[int]int64
}

// Stats reads the histogram. While it is written, an observation may be in it partly.
func (h *Histogram) Stats() HistogramStats {
	s := HistogramStats{Sum: math.Float64frombits(h.sum.Load()), Zeros: h.zeros.Load(), Buckets: map[int]int64{}}
	s.Count = s.Zeros
	for i := range h.buckets {
		if n := h.buckets[i].Load(); n > 0 {
			s.Buckets[i+lowest*perOctave] = int64(n)
			s.Count += n
		}
	}
	return s
}

// Mean is the mean value; 0 when there is none.
func (s HistogramStats) Mean() float64 {
	if s.Count == 0 {
		return 0
	}
	return s.Sum / float64(s.Count)
}

// Quantile is about the value below which a share q (0 to 1) of the values
// lies: at most a fifth too high. It is 0 when there is none.
func (s HistogramStats) Quantile(q float64) float64 {
	left := math.Ceil(q * float64(s.Count))
	if left -= float64(s.Zeros); left <= 0 {
		return 0
	}
	numbers := make([]int, 0, len(s.Buckets))
	for i := range s.Buckets {
		numbers = append(numbers, i)
	}
	sort.Ints(numbers)
	for _, i := range numbers {
		if left -= float64(s.Buckets[i]); left <= 0 {
			return math.Exp2(float64(i) / perOctave)
		}
	}
	return 0
}
