package prom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metrics lists every metric.
func metrics() []*metric {
	var all []*metric
	all = append(all, flowMetrics()...)
	all = append(all, flowHistograms()...)
	all = append(all, stageMetrics()...)
	return append(all, nodeMetrics()...)
}

func flowMetrics() []*metric {
	return []*metric{
		of(gauge, "ready", "1 while the flow does its work, or was told not to; 0 while it starts, reconnects, retries a sink, drains or has failed.",
			func(f *Flow) float64 { return yes(f.Ready) }),
		labelled(gauge, "flow_state", "1 for the state that the flow is in.", "state", func(f *Flow) map[string]float64 {
			return map[string]float64{f.State: 1}
		}),
		of(counter, "messages_total", "Messages that are done with: whatever came of them is durable, and their source knows.",
			func(f *Flow) float64 { return number(f.Snapshot.Flow.Messages) }),
		of(counter, "dead_letters_total", "Records that became dead letters.",
			func(f *Flow) float64 { return number(f.Snapshot.Flow.Lettered) }),
		of(gauge, "unacknowledged_records", "Records that were read and are not committed.",
			func(f *Flow) float64 { return number(f.Snapshot.Flow.Unacknowledged) }),
		moment("watermark_timestamp_seconds", "The lowest watermark of the sources: no older record is expected.",
			func(f *Flow) time.Time { return f.Snapshot.Flow.Watermark }),
		of(gauge, "watermark_lag_seconds", "How far the watermark is behind the time.",
			func(f *Flow) float64 { return f.Snapshot.Flow.Lag.Seconds() }),
		of(gauge, "epoch", "The last epoch that the current session has committed.",
			func(f *Flow) float64 { return number(f.Snapshot.Flow.Epoch) }),
		moment("last_commit_timestamp_seconds", "When the last commit was done.",
			func(f *Flow) time.Time { return f.Snapshot.Flow.LastCommit }),
		of(counter, "state_written_bytes_total", "State that commits changed.",
			func(f *Flow) float64 { return number(f.Snapshot.Flow.SnapshotBytesTotal) }),
		of(gauge, "last_commit_state_bytes", "State that the last commit changed.",
			func(f *Flow) float64 { return number(f.Snapshot.Flow.SnapshotBytes) }),
		of(counter, "restarts_total", "How often the flow started again from its last commit, mostly since a session was lost.",
			func(f *Flow) float64 { return number(f.Snapshot.Flow.Restarts) }),
		labelled(counter, "flow_reloads_total", "Changes of the flow by what became of them.", "outcome", func(f *Flow) map[string]float64 {
			// Those that have not happened are 0: an increase shows only in a
			// series that was there before, and a failed change is rare.
			all := map[string]float64{"applied": 0, "unchanged": 0, "pending": 0, "rejected": 0, "rolled_back": 0}
			for outcome, n := range f.Snapshot.Flow.Reloads {
				all[outcome] = number(n)
			}
			return all
		}),
	}
}

func flowHistograms() []*metric {
	return []*metric{
		distribution("flow_commit_duration_seconds", "How long commits took.", seconds, func(s *telemetry.FlowStats) telemetry.HistogramStats { return s.CommitSeconds }),
		distribution("flow_reload_pause_seconds", "For how long nothing was read during a change.", seconds, func(s *telemetry.FlowStats) telemetry.HistogramStats { return s.PauseSeconds }),
	}
}

func stageMetrics() []*metric {
	outcome := func(name, help string, n func(*telemetry.StageStats) uint64) *metric {
		return ofStage(counter, "stage_"+name, help, every, func(s *telemetry.StageStats) float64 { return number(n(s)) })
	}
	return []*metric{
		outcome("in_records_total", "Records that came in: passed, absorbed, filtered, late, dead or held.", func(s *telemetry.StageStats) uint64 { return s.Counts.In }),
		outcome("passed_records_total", "Records that went on.", func(s *telemetry.StageStats) uint64 { return s.Counts.Passed }),
		outcome("absorbed_records_total", "Records that went into a state, or into records made anew.", func(s *telemetry.StageStats) uint64 { return s.Counts.Absorbed }),
		outcome("filtered_records_total", "Records that were dropped as the flow says.", func(s *telemetry.StageStats) uint64 { return s.Counts.Filtered }),
		outcome("late_records_total", "Records that came too late.", func(s *telemetry.StageStats) uint64 { return s.Counts.Late }),
		outcome("dead_records_total", "Records that could not be processed.", func(s *telemetry.StageStats) uint64 { return s.Counts.Dead }),
		outcome("emitted_records_total", "Records that the stage made.", func(s *telemetry.StageStats) uint64 { return s.Counts.Emitted }),
		outcome("expired_keys_total", "Keys whose state was dropped since they were idle.", func(s *telemetry.StageStats) uint64 { return s.Counts.Expired }),
		ofStage(gauge, "stage_held_records", "Records that wait, in a batch for instance.", every, func(s *telemetry.StageStats) float64 { return number(s.Counts.Held) }),
		ofStage(gauge, "stage_state_keys", "Keys of which a stage keeps state, at the last checkpoint.", keeps, func(s *telemetry.StageStats) float64 { return number(s.Keys) }),
		ofStage(gauge, "stage_state_bytes", "Bytes of the keys and values that a stage keeps, at the last checkpoint.", keeps, func(s *telemetry.StageStats) float64 { return number(s.StateBytes) }),
		ofStage(counter, "sink_written_bytes_total", "Bytes that a sink was given to write, without what it adds to messages.", func(s *telemetry.StageStats) bool { return written(s) && s.Bytes > 0 },
			func(s *telemetry.StageStats) float64 { return number(s.Bytes) }),
		ofStage(counter, "source_read_bytes_total", "Bytes of the payloads that a source has read.", func(s *telemetry.StageStats) bool { return sources(s) && s.Bytes > 0 },
			func(s *telemetry.StageStats) float64 { return number(s.Bytes) }),
		ofStage(gauge, "source_watermark_timestamp_seconds", "The watermark of a source.", reached,
			func(s *telemetry.StageStats) float64 { return float64(s.Watermark.UnixNano()) / 1e9 }),
		ofStage(counter, "sink_retries_total", "How often a sink had to try again.", sinks, func(s *telemetry.StageStats) float64 { return number(s.Retries) }),
		spread("sink_flush_duration_seconds", "How long a sink needed to make durable what was written.", seconds, written,
			func(s *telemetry.StageStats) telemetry.HistogramStats { return s.FlushSeconds }),
		spread("stage_call_duration_seconds", "How long a stage worked on a batch; stages that are fused count as the first of them.", seconds, nodes,
			func(s *telemetry.StageStats) telemetry.HistogramStats { return s.CallSeconds }),
		spread("stage_batch_records", "How many records came in a batch.", sizes, nodes,
			func(s *telemetry.StageStats) telemetry.HistogramStats { return s.BatchRecords }),
	}
}

func nodeMetrics() []*metric {
	return []*metric{
		perNode("stage_phase_seconds_total", "Time spent idle (waiting for input), busy, and blocked (waiting to hand on), by lane.", []string{"phase"},
			func(n *telemetry.NodeStats, send func(float64, ...string)) {
				send(n.Idle.Seconds(), "idle")
				send(n.Busy.Seconds(), "busy")
				send(n.Blocked.Seconds(), "blocked")
			}),
		perNode("stage_calls_total", "Batches that a lane worked on.", nil,
			func(n *telemetry.NodeStats, send func(float64, ...string)) { send(number(n.Calls)) }),
		perNode("stage_lane_records_total", "Records that came to a lane.", nil,
			func(n *telemetry.NodeStats, send func(float64, ...string)) { send(number(n.Records)) }),
	}
}
