// Package prom shows snapshots of flows as metrics of Prometheus. Nothing is
// counted for it: a scrape reads what is counted anyway, and costs nothing
// while nobody asks. It knows only the read side of telemetry.
package prom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

// Flow is what is known of one flow at a scrape.
type Flow struct {
	Name string
	// State is running, paused, reconnecting and so on, and Ready whether it
	// does its work.
	State    string
	Ready    bool
	Snapshot telemetry.Snapshot
}

// Collector collects what flows lists. Each call of it is one scrape.
func Collector(flows func() []Flow) prometheus.Collector { return collector{flows} }

type collector struct{ flows func() []Flow }

// Describe describes every metric: names and labels do not depend on flows.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range metrics() {
		ch <- m.desc
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	all := metrics()
	for _, f := range c.flows() {
		for _, m := range all {
			m.collect(m, &f, ch)
		}
	}
}

// metric is a name, what it means, and how it is read.
type metric struct {
	desc    *prometheus.Desc
	kind    prometheus.ValueType
	collect func(*metric, *Flow, chan<- prometheus.Metric)
}

const namespace = "telluride_"

// of makes a metric of the whole flow.
func of(kind prometheus.ValueType, name, help string, value func(*Flow) float64) *metric {
	return &metric{
		desc: prometheus.NewDesc(namespace+"flow_"+name, help, []string{"flow"}, nil), kind: kind,
		collect: func(m *metric, f *Flow, ch chan<- prometheus.Metric) { m.send(ch, value(f), f.Name) },
	}
}

// moment is a gauge of a time, which is missing while there is none.
func moment(name, help string, at func(*Flow) time.Time) *metric {
	return &metric{
		desc: prometheus.NewDesc(namespace+"flow_"+name, help, []string{"flow"}, nil), kind: prometheus.GaugeValue,
		collect: func(m *metric, f *Flow, ch chan<- prometheus.Metric) {
			if t := at(f); !t.IsZero() {
				m.send(ch, float64(t.UnixNano())/1e9, f.Name)
			}
		},
	}
}

// ofStage makes a metric of each stage that some says has it.
func ofStage(kind prometheus.ValueType, name, help string, some func(*telemetry.StageStats) bool, value func(*telemetry.StageStats) float64) *metric {
	return &metric{
		desc: prometheus.NewDesc(namespace+name, help, []string{"flow", "stage", "kind"}, nil), kind: kind,
		collect: func(m *metric, f *Flow, ch chan<- prometheus.Metric) {
			for i := range f.Snapshot.Stages {
				if s := &f.Snapshot.Stages[i]; some(s) {
					m.send(ch, value(s), f.Name, s.Name, s.Kind)
				}
			}
		},
	}
}

func (m *metric) send(ch chan<- prometheus.Metric, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
}

func every(*telemetry.StageStats) bool     { return true }
func sources(s *telemetry.StageStats) bool { return s.Role == telemetry.Source }
func sinks(s *telemetry.StageStats) bool   { return s.Role == telemetry.Sink }
func nodes(s *telemetry.StageStats) bool   { return len(s.Nodes) > 0 }
func reached(s *telemetry.StageStats) bool { return !s.Watermark.IsZero() }
func keeps(s *telemetry.StageStats) bool   { return s.Keeps }
func number[T uint64 | int64](n T) float64 { return float64(n) }
func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// written says that a sink is one of the flow's path.
func written(s *telemetry.StageStats) bool { return sinks(s) && nodes(s) }
