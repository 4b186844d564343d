package wire

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

// played is a ledger in which everything had something to do.
func played(calls int) telemetry.Snapshot {
	now := time.Unix(1_700_000_000, 0)
	l := new(telemetry.Ledger)
	for _, s := range []struct {
		kind, name string
		role       telemetry.Role
		lanes      int
	}{
		{"source", "rabbitmq", telemetry.Source, 1}, {"partition", "partition", telemetry.Splitter, 1}, {"set", "set", telemetry.Step, 2},
		{"batch", "batch_one", telemetry.Batcher, 3}, {"window", "per_sensor", telemetry.Aggregate, 2}, {"sink", "out", telemetry.Sink, 1},
	} {
		row := l.Row(s.kind, s.name)
		row.Plays(s.role)
		for lane := range s.lanes {
			n := row.Node(lane)
			n.Begin(now, []string{s.name})
			for i := range calls {
				d := time.Duration(1+lane+i) * time.Millisecond
				n.Call(10*(lane+1), d, now.Add(time.Duration(i)*time.Second+d))
			}
		}
	}
	l.Row("set", "idle").Plays(telemetry.Step)
	l.Row("set", "idle").Node(0)
	l.Committed(1, 30, 0, time.Millisecond, now.Add(time.Minute))
	s := l.Snapshot(now.Add(time.Hour))
	s.Flow.Lettered = 4
	return s
}

// jsonTypes are the types of a message's values, as a reader that does not
// know the form finds them.
func jsonTypes(t *testing.T, body []byte) map[string]string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	types := map[string]string{}
	for k, v := range m {
		switch v := v.(type) {
		case json.Number:
			types[k] = "integer"
			if strings.ContainsAny(string(v), ".eE") {
				types[k] = "float"
			}
		case string:
			types[k] = "text"
		}
	}
	return types
}

func TestANodesMessageHasTheKeysAndTypesOfTheOriginal(t *testing.T) {
	want := map[string]string{
		"node_type": "text", "name": "text", "partition": "integer", "call_count": "integer", "msg_count": "integer",
		"last_duration": "integer", "min_duration": "integer", "max_duration": "integer", "mean_duration": "float",
		"sma_duration": "float", "first_time": "integer", "last_time": "integer",
	}
	var types []string
	for _, calls := range []int{1, 2, 3, 70} {
		for _, n := range NodesOf(played(calls)) {
			got := jsonTypes(t, n.Append(nil))
			w := maps.Clone(want)
			if n.Type == "processor" {
				w["partition"] = "text"
			}
			if !maps.Equal(got, w) {
				t.Errorf("%s has the types %v", n.Append(nil), got)
			}
			types = append(types, n.Type)
		}
	}
	slices.Sort(types)
	if got := slices.Compact(types); !slices.Equal(got, []string{"batcher", "batcher_processor", "processor", "producer"}) {
		t.Errorf("the types are %v", got)
	}
}

func TestABatcherIsAllItsLanes(t *testing.T) {
	all := NodesOf(played(100))
	var text []string
	for _, n := range all {
		text = append(text, string(n.Append(nil)))
	}
	pattern := regexp.MustCompile(`"node_type":"(\w+)","name":"(\w+)","partition":("?\d"?)`)
	var got []string
	for _, m := range pattern.FindAllStringSubmatch(strings.Join(text, "\n"), -1) {
		got = append(got, strings.Join(m[1:], " "))
	}
	want := []string{
		"producer rabbitmq 0", `processor set "0"`, `processor set "1"`, "batcher batch_one 0", "batcher_processor batch_one 0",
		"batcher_processor batch_one 1", "batcher_processor batch_one 2", "batcher_processor per_sensor 0", "batcher_processor per_sensor 1", "batcher_processor out 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	b := all[3]
	// Lane l takes 1+l … 100+l ms.
	mean, recent := 51.5e6, 71.5e6
	if b.Calls != 300 || b.Records != 100*(10+20+30) || b.Min != time.Millisecond || b.Max != 102*time.Millisecond || b.Last != 102*time.Millisecond ||
		math.Abs(b.Mean-mean) > 1 || math.Abs(b.SMA-recent) > 1 {
		t.Errorf("%+v, want a mean of %v and %v", b.NodeStats, mean, recent)
	}
}

func TestThroughputSaysWhatIsDone(t *testing.T) {
	body, ok := AppendThroughput(nil, played(3))
	want := `{"earliest_raw_time":1700000000001000000,"last_raw_time":1700000060000000000,"total_message_count":30,"total_failed_count":4,"total_successful_count":26}`
	if !ok || string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if body, ok := AppendThroughput(nil, new(telemetry.Ledger).Snapshot(time.Now())); ok {
		t.Errorf("before anything is done it says %s", body)
	}
}

func TestOnlyWhatHasChangedIsTold(t *testing.T) {
	var c Changes
	first := c.Of(played(3))
	if again := c.Of(played(3)); len(again) != len(first) {
		t.Errorf("what was not published has changed: %d nodes, then %d", len(first), len(again))
	}
	c.Published(first)
	if more := c.Of(played(3)); len(more) != 0 {
		t.Errorf("%d nodes are told again", len(more))
	}
	if more := c.Of(played(4)); len(more) != len(first) {
		t.Errorf("%d nodes have changed, want %d", len(more), len(first))
	}
}
