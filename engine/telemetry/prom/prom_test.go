package prom

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// played are two flows in which everything has happened.
func played() []Flow {
	now := time.Unix(1_700_000_000, 0)
	var all []Flow
	for _, name := range []string{"one", "two"} {
		l := new(telemetry.Ledger)
		for kind, role := range map[string]telemetry.Role{"source": telemetry.Source, "window": telemetry.Aggregate, "sink": telemetry.Sink} {
			row := l.Row(kind, kind+"_1")
			row.Plays(role)
			row.Add(stage.Counts{In: 10, Passed: 4, Absorbed: 1, Filtered: 1, Late: 1, Dead: 1, Emitted: 3, Held: 2, Expired: 5})
			row.Bytes.Store(100)
			if role == telemetry.Aggregate {
				sizes := row.States(2)
				sizes[0].Set(3, 300)
				sizes[1].Set(4, 41)
			}
			row.Retries.Add(2)
			row.Reached(now.UnixNano())
			row.Flushed(time.Millisecond)
			for lane := range 2 {
				n := row.Node(lane)
				n.Begin(now, []string{kind})
				n.Enter(telemetry.Busy, now.Add(time.Second))
				n.Call(8, 3*time.Millisecond, now.Add(2*time.Second))
				n.Enter(telemetry.Blocked, now.Add(3*time.Second))
			}
		}
		l.Committed(7, 9, 1000, 20*time.Millisecond, now)
		l.Restarted()
		l.Reloaded("applied")
		l.Reloaded("rejected")
		l.Paused(5 * time.Millisecond)
		s := l.Snapshot(now.Add(5 * time.Second))
		s.Flow.Unacknowledged, s.Flow.Lettered = 3, 1
		all = append(all, Flow{Name: name, State: "running", Ready: true, Snapshot: s})
	}
	return all
}

func gather(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(Collector(played))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if err != nil {
		t.Error(err)
	}
	all := map[string]*dto.MetricFamily{}
	for _, f := range families {
		all[f.GetName()] = f
	}
	return all
}

func TestEveryMetricIsCollectedAndNamedByConvention(t *testing.T) {
	all := gather(t)
	for _, m := range metrics() {
		name := regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(m.desc.String())[1]
		if all[name] == nil || len(all[name].Metric) < 2 {
			t.Errorf("%s is not collected of both flows", name)
		}
	}
}

func TestAHistogramSaysTheSameInBothForms(t *testing.T) {
	h := gather(t)["telluride_stage_call_duration_seconds"].Metric[0].Histogram
	if h.GetSampleCount() != 2 || math.Abs(h.GetSampleSum()-0.006) > 1e-12 || h.GetSchema() != telemetry.Schema || len(h.PositiveSpan) == 0 {
		t.Errorf("the histogram is %v", h)
	}
	for _, b := range h.Bucket {
		want := uint64(0)
		if b.GetUpperBound() >= 0.003 {
			want = 2
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("%d values are at most %v, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
		}
	}
}

func value(t *testing.T, text, series string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Errorf("there is no %s", series)
	return ""
}

func TestAScrapeHasTheNumbersOfTheSnapshot(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(played).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for series, want := range map[string]string{
		`telluride_flow_messages_total{flow="one"}`:                                                           "9",
		`telluride_flow_reloads_total{flow="two",outcome="rejected"}`:                                         "1",
		`telluride_flow_reloads_total{flow="two",outcome="rolled_back"}`:                                      "0",
		`telluride_flow_watermark_lag_seconds{flow="one"}`:                                                    "5",
		`telluride_stage_dead_records_total{flow="one",kind="window",stage="window_1"}`:                       "1",
		`telluride_stage_held_records{flow="one",kind="window",stage="window_1"}`:                             "2",
		`telluride_stage_expired_keys_total{flow="one",kind="window",stage="window_1"}`:                       "5",
		`telluride_sink_retries_total{flow="one",kind="sink",stage="sink_1"}`:                                 "2",
		`telluride_sink_written_bytes_total{flow="one",kind="sink",stage="sink_1"}`:                           "100",
		`telluride_source_read_bytes_total{flow="one",kind="source",stage="source_1"}`:                        "100",
		`telluride_stage_state_keys{flow="one",kind="window",stage="window_1"}`:                               "7",
		`telluride_stage_state_bytes{flow="one",kind="window",stage="window_1"}`:                              "341",
		`telluride_stage_phase_seconds_total{flow="one",kind="sink",lane="1",phase="busy",stage="sink_1"}`:    "2",
		`telluride_stage_phase_seconds_total{flow="one",kind="sink",lane="1",phase="blocked",stage="sink_1"}`: "2",
		`telluride_stage_lane_records_total{flow="one",kind="window",lane="0",stage="window_1"}`:              "8",
		`telluride_sink_flush_duration_seconds_count{flow="one",kind="sink",stage="sink_1"}`:                  "1",
		`telluride_stage_batch_records_bucket{flow="one",kind="source",stage="source_1",le="16"}`:             "2",
		`telluride_stage_batch_records_bucket{flow="one",kind="source",stage="source_1",le="4"}`:              "0",
	} {
		if got := value(t, w.Body.String(), series); got != want {
			t.Errorf("%s is %s, want %s", series, got, want)
		}
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		check := exec.Command(promtool, "check", "metrics")
		check.Stdin = bytes.NewReader(w.Body.Bytes())
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	}
}

var deployed = filepath.Join("..", "..", "..", "deploy")

// What the dashboard, the alerts and the guide name is there.
func TestWhatIsDeployedNamesMetricsThatThereAre(t *testing.T) {
	all := gather(t)
	named := regexp.MustCompile(`\btelluride_\w+`)
	guide := filepath.Join("..", "..", "..", "docs", "operations.md")
	for _, path := range []string{filepath.Join(deployed, "grafana", "telluride.json"), filepath.Join(deployed, "prometheus", "telluride.rules.yaml"), guide} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, name := range named.FindAllString(string(text), -1) {
			name = strings.TrimSuffix(name, "_bucket")
			found[name] = true
			if all[name] == nil {
				t.Errorf("%s names %s, which is no metric", path, name)
			}
		}
		if len(found) == 0 {
			t.Errorf("%s names no metric", path)
		}
		if path != guide {
			continue
		}
		for name := range all {
			if !found[name] {
				t.Errorf("%s does not name %s", path, name)
			}
		}
	}
}

func TestTheAlertsFireWhenTheyShould(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; the Debian package prometheus has it")
	}
	for _, args := range [][]string{{"check", "rules", "telluride.rules.yaml"}, {"test", "rules", "telluride.rules.test.yaml"}} {
		run := exec.Command(promtool, args...)
		run.Dir = filepath.Join(deployed, "prometheus")
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
