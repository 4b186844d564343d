package prom

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

// classic is the bounds that a histogram has for readers that do not know
// native ones: two to the power of each. They are bounds of native buckets
// too, so that both say the same.
type classic []int

var (
	// seconds reach from 15 µs to a minute, sizes from 1 to 65,536.
	seconds = classic{-16, -14, -12, -10, -8, -6, -4, -2, 0, 2, 4, 6}
	sizes   = classic{0, 2, 4, 6, 8, 10, 12, 14, 16}
)

// distribution makes a histogram of the flow.
func distribution(name, help string, bounds classic, of func(*telemetry.FlowStats) telemetry.HistogramStats) *metric {
	return &metric{
		desc: prometheus.NewDesc(namespace+name, help, []string{"flow"}, nil),
		collect: func(m *metric, f *Flow, ch chan<- prometheus.Metric) {
			ch <- bounds.histogram(m.desc, of(&f.Snapshot.Flow), f.Name)
		},
	}
}

// spread makes a histogram of each stage that some says has it.
func spread(name, help string, bounds classic, some func(*telemetry.StageStats) bool, of func(*telemetry.StageStats) telemetry.HistogramStats) *metric {
	return &metric{
		desc: prometheus.NewDesc(namespace+name, help, []string{"flow", "stage", "kind"}, nil),
		collect: func(m *metric, f *Flow, ch chan<- prometheus.Metric) {
			for i := range f.Snapshot.Stages {
				if s := &f.Snapshot.Stages[i]; some(s) {
					ch <- bounds.histogram(m.desc, of(s), f.Name, s.Name, s.Kind)
				}
			}
		},
	}
}

// histogram is one that is native, and classic beside it.
func (c classic) histogram(desc *prometheus.Desc, s telemetry.HistogramStats, labels ...string) prometheus.Metric {
	native := prometheus.MustNewConstNativeHistogram(desc, s.Count, s.Sum, s.Buckets, nil, s.Zeros, telemetry.Schema, 0, time.Time{}, labels...)
	return both{native, c, s}
}

type both struct {
	prometheus.Metric
	bounds classic
	stats  telemetry.HistogramStats
}

func (b both) Write(out *dto.Metric) error {
	if err := b.Metric.Write(out); err != nil {
		return err
	}
	for _, exponent := range b.bounds {
		n := b.stats.Zeros
		for i, count := range b.stats.Buckets {
			if i <= exponent<<telemetry.Schema {
				n += uint64(count)
			}
		}
		bound := math.Exp2(float64(exponent))
		out.Histogram.Bucket = append(out.Histogram.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &n})
	}
	return nil
}
