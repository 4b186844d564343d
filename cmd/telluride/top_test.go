package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/api"
)

// Long names are cut before numbers are.
func TestTopFitsTheTerminal(t *testing.T) {
	long := strings.Repeat("a-long-name-", 5)
	m := &topModel{width: 80, height: 24, flow: long}
	m.all.Flows = []api.FlowMetrics{{Name: long, State: "retrying", Successful: 100, Dead: 1234, Unacknowledged: 10000}, {Name: "short", State: "running"}}
	m.one = api.FlowMetrics{Name: "short", Stages: []api.StageMetrics{{Stage: api.Stage{Name: long, Kind: "window"}, Lanes: make([]api.LaneMetrics, 4), AverageMS: 1.5, Blocked: 1}}}
	text := m.text()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"a-long-name-a…", "in flight", "10,000", "short", "blocked", "window a-lon", "100%"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	m.width = 200
	if text := m.text(); !strings.Contains(text, long) {
		t.Errorf("a wide terminal shows no whole name:\n%s", text)
	}
}
