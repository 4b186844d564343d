package api

import (
	"time"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

// Metrics is how a process and its flows do at one moment.
type Metrics struct {
	At      time.Time     `json:"at"`
	Machine Machine       `json:"machine"`
	Flows   []FlowMetrics `json:"flows"`
}

// Machine is what the process and the machine use.
type Machine struct {
	// CPU is the share of each core that is used, 0 to 1, by everything that
	// runs on the machine; empty where it is not known.
	CPU []float64 `json:"cpu"`
	// Process is how many cores the process uses.
	Process float64 `json:"process"`
	// Memory is what the process has from the system, in bytes; Heap is what
	// of it holds objects.
	Memory     uint64 `json:"memory"`
	Heap       uint64 `json:"heap"`
	Goroutines int    `json:"goroutines"`
}

// FlowMetrics is how one flow does. Rates are those of the last second.
type FlowMetrics struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Version string `json:"version"`
	// In counts the records that sources read, Out those that sinks took,
	// apart from dead letters and late records.
	In       uint64  `json:"in"`
	Out      uint64  `json:"out"`
	Dead     uint64  `json:"dead"`
	Late     uint64  `json:"late"`
	Filtered uint64  `json:"filtered"`
	InRate   float64 `json:"in_rate"`
	OutRate  float64 `json:"out_rate"`
	// Successful is the percentage of the records read that were neither dead
	// nor late.
	Successful float64 `json:"successful"`
	// BatchMS is the mean time that the slowest stage took for a batch in the
	// last second, CommitMS that of a commit; 0: there was none.
	BatchMS        float64 `json:"batch_ms"`
	CommitMS       float64 `json:"commit_ms"`
	Unacknowledged uint64  `json:"unacknowledged"`
	// Commits counts commits: what the other numbers count is durable with a
	// later one.
	Commits uint64 `json:"commits"`
	// LagMS is how far the watermark is behind the time; 0 without one.
	LagMS    float64 `json:"lag_ms"`
	Retries  uint64  `json:"retries"`
	Restarts uint64  `json:"restarts"`
	// Stages are in the order of the flow; left out of lists of flows.
	Stages []StageMetrics `json:"stages,omitempty"`
}

// StageMetrics is how a source, stage or sink does.
type StageMetrics struct {
	Stage
	InRate  float64 `json:"in_rate"`
	OutRate float64 `json:"out_rate"`
	Retries uint64  `json:"retries,omitempty"`
	// Bytes is what a source has read or a sink was given, in payloads; 0: it is
	// not known. Keys is of how many keys the stage keeps state, and StateBytes
	// how large it is, as of the last checkpoint.
	Bytes      int64 `json:"bytes,omitempty"`
	Keys       int64 `json:"keys,omitempty"`
	StateBytes int64 `json:"state_bytes,omitempty"`
	// CallMS is how long the last call took, AverageMS the moving average of
	// the last 60, and MeanMS that of all: in the slowest lane.
	CallMS    float64 `json:"call_ms"`
	AverageMS float64 `json:"average_ms"`
	MeanMS    float64 `json:"mean_ms"`
	Calls     uint64  `json:"calls"`
	// Idle, Busy and Blocked are how the lanes spent the last second, together.
	Idle    float64 `json:"idle"`
	Busy    float64 `json:"busy"`
	Blocked float64 `json:"blocked"`
	// With names the stage that this one is fused with, and measured as one;
	// "": it is measured itself.
	With  string        `json:"with,omitempty"`
	Lanes []LaneMetrics `json:"lanes,omitempty"`
}

// LaneMetrics is one lane of a stage.
type LaneMetrics struct {
	Lane      int     `json:"lane"`
	Records   uint64  `json:"records"`
	AverageMS float64 `json:"average_ms"`
	Idle      float64 `json:"idle"`
	Busy      float64 `json:"busy"`
	Blocked   float64 `json:"blocked"`
}

// Measured is a flow as the host measures it.
type Measured struct {
	telemetry.Snapshot
	Name, Version, State, Reason string
	// Sides are the sinks for dead letters and late records.
	Sides []string
}

// flowMetrics makes metrics of two measurements; before may be nil.
func flowMetrics(now Measured, before *Measured) FlowMetrics {
	f := FlowMetrics{
		Name: now.Name, Version: now.Version, State: now.State, Reason: now.Reason, Unacknowledged: now.Flow.Unacknowledged, Commits: now.Flow.Commits,
		LagMS: milliseconds(now.Flow.Lag), Retries: now.Flow.Retries, Restarts: now.Flow.Restarts, Stages: []StageMetrics{},
	}
	elapsed := 0.0
	if before != nil {
		elapsed = now.At.Sub(before.At).Seconds()
		f.CommitMS = 1000 * meanSince(now.Flow.CommitSeconds, before.Flow.CommitSeconds)
	}
	fused := map[string]string{}
	for i := range now.Stages {
		s, old := &now.Stages[i], telemetry.StageStats{}
		if before != nil {
			old = findStage(before.Stages, s, i)
		}
		one := stageMetrics(s, old, elapsed)
		for _, n := range s.Nodes {
			for _, name := range n.Stages[min(1, len(n.Stages)):] {
				fused[name] = s.Name
			}
		}
		f.BatchMS = max(f.BatchMS, 1000*meanSince(s.CallSeconds, old.CallSeconds))
		f.Dead += s.Counts.Dead
		f.Late += s.Counts.Late
		f.Filtered += s.Counts.Filtered
		switch {
		case s.Kind == "source":
			f.In += s.Counts.In
			f.InRate += one.InRate
		case s.Kind == "sink" && !contains(now.Sides, s.Name):
			f.Out += s.Counts.Passed
			f.OutRate += one.OutRate
		}
		f.Stages = append(f.Stages, one)
	}
	for i := range f.Stages {
		if s := &f.Stages[i]; len(s.Lanes) == 0 {
			s.With = fused[s.Name]
		}
	}
	f.Successful = 100
	if bad := f.Dead + f.Late; f.In > 0 {
		f.Successful = 100 * (1 - float64(min(bad, f.In))/float64(f.In))
	}
	return f
}

func contains(list []string, name string) bool {
	for _, one := range list {
		if one == name {
			return true
		}
	}
	return false
}

// findStage is a stage in an earlier snapshot, where it mostly has the same place.
func findStage(all []telemetry.StageStats, s *telemetry.StageStats, i int) telemetry.StageStats {
	if i < len(all) && all[i].Name == s.Name && all[i].Kind == s.Kind {
		return all[i]
	}
	for _, one := range all {
		if one.Name == s.Name && one.Kind == s.Kind {
			return one
		}
	}
	return telemetry.StageStats{}
}

func stageMetrics(s *telemetry.StageStats, old telemetry.StageStats, elapsed float64) StageMetrics {
	c := s.Counts
	one := StageMetrics{
		Stage: Stage{
			Name: s.Name, Kind: s.Kind, In: c.In, Passed: c.Passed, Absorbed: c.Absorbed, Filtered: c.Filtered,
			Late: c.Late, Dead: c.Dead, Held: c.Held, Emitted: c.Emitted, Expired: c.Expired,
		},
		InRate:  rateOf(c.In, old.Counts.In, elapsed),
		OutRate: rateOf(c.Passed+c.Emitted, old.Counts.Passed+old.Counts.Emitted, elapsed),
		Retries: s.Retries, Bytes: s.Bytes, Keys: s.Keys, StateBytes: s.StateBytes,
	}
	var all telemetry.Share
	for i, n := range s.Nodes {
		if n.Phase == telemetry.Gone {
			continue
		}
		var before telemetry.NodeStats
		if i < len(old.Nodes) {
			before = old.Nodes[i]
		}
		share := n.Since(before)
		one.Lanes = append(one.Lanes, LaneMetrics{
			Lane: n.Lane, Records: n.Records, AverageMS: n.SMA / 1e6, Idle: share.Idle, Busy: share.Busy, Blocked: share.Blocked,
		})
		all.Idle, all.Busy, all.Blocked = all.Idle+share.Idle, all.Busy+share.Busy, all.Blocked+share.Blocked
		one.Calls += n.Calls
		one.AverageMS, one.MeanMS, one.CallMS = max(one.AverageMS, n.SMA/1e6), max(one.MeanMS, n.Mean/1e6), max(one.CallMS, milliseconds(n.Last))
	}
	if n := float64(len(one.Lanes)); n > 0 {
		one.Idle, one.Busy, one.Blocked = all.Idle/n, all.Busy/n, all.Blocked/n
	}
	return one
}

func rateOf(now, before uint64, elapsed float64) float64 {
	if elapsed <= 0 || now < before {
		return 0
	}
	return float64(now-before) / elapsed
}

// meanSince is the mean of what a histogram got since an earlier reading.
func meanSince(now, before telemetry.HistogramStats) float64 {
	if now.Count <= before.Count {
		return 0
	}
	return (now.Sum - before.Sum) / float64(now.Count-before.Count)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
