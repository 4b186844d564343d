package prom

import (
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

// labelled makes a metric of the flow with a value for each value of a label.
func labelled(kind prometheus.ValueType, name, help, label string, values func(*Flow) map[string]float64) *metric {
	return &metric{
		desc: prometheus.NewDesc(namespace+name, help, []string{"flow", label}, nil), kind: kind,
		collect: func(m *metric, f *Flow, ch chan<- prometheus.Metric) {
			all := values(f)
			for _, v := range slices.Sorted(maps.Keys(all)) {
				m.send(ch, all[v], f.Name, v)
			}
		},
	}
}

// perNode makes a counter of each lane of each stage.
func perNode(name, help string, labels []string, values func(*telemetry.NodeStats, func(float64, ...string))) *metric {
	names := append([]string{"flow", "stage", "kind", "lane"}, labels...)
	return &metric{
		desc: prometheus.NewDesc(namespace+name, help, names, nil), kind: prometheus.CounterValue,
		collect: func(m *metric, f *Flow, ch chan<- prometheus.Metric) {
			for i := range f.Snapshot.Stages {
				s := &f.Snapshot.Stages[i]
				for j := range s.Nodes {
					n := &s.Nodes[j]
					values(n, func(v float64, more ...string) {
						m.send(ch, v, append([]string{f.Name, s.Name, s.Kind, strconv.Itoa(n.Lane)}, more...)...)
					})
				}
			}
		},
	}
}
