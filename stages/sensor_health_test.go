package stages_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/stages"
)

// sensorHealth is flows/sensor_health.yaml as it runs on a real broker, with
// exchanges and queues of its own, and a client that knows nothing of it.
type sensorHealth struct {
	t     *testing.T
	conn  *amqp.Connection
	ch    *amqp.Channel
	host  *engine.Host
	names map[string]string // of the flow file → of this test
	// told is the latest message of each sensor.
	told map[string]health
}

// health is a message of the flow.
type health struct {
	Reads          int
	Min, Max, Mean float64
}

// startSensorHealth starts the flow. Its queues are there already, as other
// programs declare them; all but dlx_queue, which nobody made in the original.
func startSensorHealth(t *testing.T) *sensorHealth {
	t.Helper()
	conn, url := dialBroker(t)
	var err error
	s := &sensorHealth{t: t, conn: conn, names: map[string]string{}, told: map[string]health{}}
	if s.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	text := s.rename(filepath.Join("..", "flows", "sensor_health.yaml"))
	s.declare()
	compile := func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
		return flow.Compile(file, src, flow.Options{
			Registry: stages.All(), Params: set,
			Env: func(name string) (string, bool) { return url, name == "RABBITMQ_URL" },
		})
	}
	s.host = engine.NewHost(engine.HostConfig{Compile: compile})
	running, list := s.host.Start("sensor_health.yaml", text, nil)
	if list.HasErrors() {
		t.Fatal(list)
	}
	t.Cleanup(func() {
		s.host.Close()
		running.Stop()
		if err := running.Wait(); err != nil && !t.Failed() {
			t.Errorf("the flow ended with %v", err)
		}
	})
	return s
}

// rename reads the flow with names that no other test uses. What has them is
// deleted in the end.
func (s *sensorHealth) rename(path string) []byte {
	s.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	run := fmt.Sprintf("-test-%x", rand.Uint64())
	for _, name := range []string{
		"sensor_events", "broadway_events", "sensor_reading_queue", "sensor_health_queue", "sensor_metric_queue",
		"broadway_throughput_queue", "broadway_config_queue", "dlx_queue",
	} {
		s.names[name] = name + run
		text = regexp.MustCompile(`\b`+name+`\b`).ReplaceAll(text, []byte(name+run))
	}
	s.t.Cleanup(func() {
		ch, err := s.conn.Channel() // an error of the test has closed the other one
		if err != nil {
			s.t.Error(err)
			return
		}
		for name, own := range s.names {
			if strings.HasSuffix(name, "_events") {
				_ = ch.ExchangeDelete(own, false, false)
			} else {
				_, _ = ch.QueueDelete(own, false, false, false)
			}
		}
	})
	return text
}

func (s *sensorHealth) declare() {
	s.t.Helper()
	for _, exchange := range []string{"sensor_events", "broadway_events"} {
		if err := s.ch.ExchangeDeclare(s.names[exchange], "direct", true, false, false, false, nil); err != nil {
			s.t.Fatal(err)
		}
	}
	for queue, key := range map[string]string{
		"sensor_reading_queue": "sensor.reading", "sensor_health_queue": "sensor.health", "sensor_metric_queue": "sensor.metric",
		"broadway_throughput_queue": "broadway.throughput", "broadway_config_queue": "sensor.config",
	} {
		exchange := s.names["sensor_events"]
		if key == "broadway.throughput" {
			exchange = s.names["broadway_events"]
		}
		arguments := amqp.Table{"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": "dlx_key"}
		if _, err := s.ch.QueueDeclare(s.names[queue], true, false, false, false, arguments); err != nil {
			s.t.Fatal(err)
		}
		if err := s.ch.QueueBind(s.names[queue], key, exchange, false, nil); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *sensorHealth) publish(key string, bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		if err := s.ch.Publish(s.names["sensor_events"], key, false, false, amqp.Publishing{Body: []byte(body)}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// until waits for something that the flow brings about.
func (s *sensorHealth) until(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(within); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s does not come; sensors %v, flow %+v", what, s.told, s.host.Status())
		}
	}
}

// take takes the messages of a queue that are ready.
func (s *sensorHealth) take(queue string) (all []amqp.Delivery) {
	s.t.Helper()
	for {
		d, ok, err := s.ch.Get(s.names[queue], true)
		if err != nil {
			s.t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, d)
	}
}

// A message has these keys in this order. Reads are an integer, an id is a
// text whatever it was, and the rest are numbers.
var healthForm = regexp.MustCompile(`^\{"sensor_id":"(?:[^"\\]|\\.)*","total_reads":[1-9]\d*,"min":-?\d[^,"]*,"max":-?\d[^,"]*,"mean":-?\d[^,"]*\}$`)

// listen reads what the flow has published, and checks its form.
func (s *sensorHealth) listen() {
	s.t.Helper()
	for _, d := range s.take("sensor_health_queue") {
		if !healthForm.Match(d.Body) || !json.Valid(d.Body) {
			s.t.Fatalf("a message of another form: %s", d.Body)
		}
		if d.MessageId == "" || d.DeliveryMode != amqp.Persistent || d.ContentType != "application/json" || d.RoutingKey != "sensor.health" {
			s.t.Fatalf("the message has id %q, mode %d, type %q and key %q", d.MessageId, d.DeliveryMode, d.ContentType, d.RoutingKey)
		}
		var m struct {
			SensorID       string `json:"sensor_id"`
			TotalReads     int    `json:"total_reads"`
			Min, Max, Mean float64
		}
		if err := json.Unmarshal(d.Body, &m); err != nil {
			s.t.Fatalf("%s: %v", d.Body, err)
		}
		if before := s.told[m.SensorID].Reads; m.TotalReads <= before {
			s.t.Fatalf("%s comes after a message of %d reads: only what has changed is sent", d.Body, before)
		}
		s.told[m.SensorID] = health{m.TotalReads, m.Min, m.Max, m.Mean}
	}
}

// tells waits until the flow has told the aggregates of all readings.
func (s *sensorHealth) tells(o oracle) {
	s.t.Helper()
	want := o.health()
	s.until(fmt.Sprintf("the health of %v", want), func() bool {
		s.listen()
		return maps.EqualFunc(s.told, want, health.like)
	})
}

func (h health) like(o health) bool {
	return h.Reads == o.Reads && h.Min == o.Min && h.Max == o.Max && math.Abs(h.Mean-o.Mean) <= 1e-12*math.Abs(o.Mean)
}

// oracle is the readings of each sensor.
type oracle map[string][]float64

func (o oracle) health() map[string]health {
	all := map[string]health{}
	for id, readings := range o {
		h := health{len(readings), slices.Min(readings), slices.Max(readings), 0}
		for _, r := range readings {
			h.Mean += r / float64(len(readings))
		}
		all[id] = h
	}
	return all
}

// readings draws n readings, several of one sensor in a row, and adds them to
// the oracle. Sensor 7 sends its id by turns as a number and as a text, the
// cold one is always below 0, and the huge one above the 1e9 at which the
// minimum of the original began.
func (o oracle) readings(n int) (bodies []string) {
	for i := 0; i < n; i++ {
		sensor := rand.IntN(9)
		for range min(1+rand.IntN(4), n-i) {
			id, reading := fmt.Sprintf("temperature_%03d", sensor), float64(rand.IntN(200_000))/1000
			text := strconv.Quote(id)
			switch sensor {
			case 6:
				id, text, reading = "cold", `"cold"`, -1-reading
			case 7:
				id, text = "7", []string{"7", `"7"`}[i%2]
			case 8:
				id, text, reading = "huge", `"huge"`, 1e9+reading*1e290
			}
			o[id] = append(o[id], reading)
			bodies = append(bodies, fmt.Sprintf(`{"device_id":%d,"line_id":"line_1","reading":%v,"sensor_id":%s,"timestamp":"2024-05-01T12:00:00Z"}`,
				i, reading, text))
			i++
		}
		i--
	}
	return bodies
}

// in is how many records have come to the stages of a kind.
func (s *sensorHealth) in(kind string) (in uint64) {
	for _, row := range s.host.Status()[0].Stages {
		if row.Kind == kind {
			in += row.In
		}
	}
	return in
}

func TestSensorHealthIsTheOriginal(t *testing.T) {
	s := startSensorHealth(t)
	all := oracle{}
	readings := all.readings(3000)
	garbage := []string{
		`no reading`, ``, `[1]`, `{"sensor_id":"temperature_001"}`, `{"sensor_id":"temperature_001","reading":null}`,
		`{"sensor_id":"temperature_001","reading":"hot"}`, `{"reading":1}`, `{"sensor_id":null,"reading":1}`, `{"sensor_id":"temperature_001","reading":1`,
	}
	s.publish("sensor.reading", readings[:100]...)
	s.publish("sensor.reading", garbage...)
	s.publish("sensor.reading", readings[100:]...)
	s.tells(all)

	var rejected []string
	s.until("the garbage in dlx_queue", func() bool {
		for _, d := range s.take("dlx_queue") {
			rejected = append(rejected, string(d.Body))
			if reason := d.Headers["x-first-death-reason"]; reason != "rejected" {
				t.Errorf("%s is in dlx_queue for %v", d.Body, reason)
			}
		}
		return len(rejected) >= len(garbage)
	})
	slices.Sort(rejected)
	slices.Sort(garbage)
	if !slices.Equal(rejected, garbage) {
		t.Errorf("rejected are %q", rejected)
	}
	s.drained(len(readings))
}

// drained ends the flow. Nothing may be left in its queue, and no sensor may
// have been told of twice.
func (s *sensorHealth) drained(readings int) {
	s.t.Helper()
	if err := s.host.Drain(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.listen() // fails for what was told before
	for _, row := range s.host.Flows()[0].Ledger.Rows() {
		if c := row.Counts(); !c.Balanced() || c.Held != 0 {
			s.t.Errorf("the ledger of %s does not balance: %+v", row.Name, c)
		}
	}
	if n := s.in("window"); n != uint64(readings) {
		s.t.Errorf("%d readings were aggregated, want %d", n, readings)
	}
	q, err := s.ch.QueueDeclarePassive(s.names["sensor_reading_queue"], true, false, false, false, nil)
	if err != nil || q.Messages != 0 {
		s.t.Errorf("%d messages are left (%v)", q.Messages, err)
	}
}

// The eight keys of the original come as JSON through its queue, with
// readings before, between and after them.
func TestSensorHealthIsChangedThroughItsConfigQueue(t *testing.T) {
	s := startSensorHealth(t)
	all := oracle{}
	sent := 0
	publish := func(n int) {
		s.publish("sensor.reading", all.readings(n)...)
		sent += n
	}
	publish(1000)
	s.change(`{"producer_concurrency":2,"processor_concurrency":3,"sensor_batcher_one_concurrency":1,"sensor_batcher_one_batch_size":3,
		"sensor_batcher_two_concurrency":5,"sensor_batcher_two_batch_size":50}`, change.Applied)
	publish(1000)
	bad := []string{`no JSON`, `{"rate_limit_allowed":"many"}`, `{"rate_limit_allowed":0}`, `{"rate_limit":5}`}
	for _, body := range bad {
		s.change(body, change.Rejected)
	}
	var rejected []string
	s.until("the bad changes in dlx_queue", func() bool {
		for _, d := range s.take("dlx_queue") {
			rejected = append(rejected, string(d.Body))
		}
		return len(rejected) >= len(bad)
	})
	if !slices.Equal(rejected, bad) {
		t.Errorf("rejected are %q", rejected)
	}
	s.tells(all)

	s.change(`{"rate_limit_allowed":40,"rate_limit_interval":500}`, change.Applied)
	before, began := s.in("assert"), time.Now()
	publish(160)
	// At the old rate they would all come within 0.1 s.
	s.until("the readings at the new rate", func() bool { return s.in("assert")-before >= 160 })
	if took := time.Since(began); took < time.Second {
		t.Errorf("160 readings at 40 per 0.5s took %v", took)
	}
	s.tells(all)
	s.drained(sent)
}

// change sends a change as the original does, and waits for its receipt.
func (s *sensorHealth) change(body string, outcome change.Outcome) {
	s.t.Helper()
	reply, err := s.ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.names["receipts"] = reply.Name
	if err := s.ch.Publish(s.names["sensor_events"], "sensor.config", false, false, amqp.Publishing{Body: []byte(body), ReplyTo: reply.Name}); err != nil {
		s.t.Fatal(err)
	}
	var receipts []amqp.Delivery
	s.until("a receipt for "+body, func() bool {
		receipts = s.take("receipts")
		return len(receipts) > 0
	})
	var receipt change.Receipt
	if err := json.Unmarshal(receipts[0].Body, &receipt); err != nil || receipt.Outcome != outcome {
		s.t.Errorf("%s: the receipt is %s (%v)", body, receipts[0].Body, err)
	}
}

// jsonTypes are the types of a message's values, in the order of its keys.
func jsonTypes(t *testing.T, body []byte) (all []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		value, err := d.Token()
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		kind := fmt.Sprintf("%T", value)
		if n, ok := value.(json.Number); ok {
			kind = "integer"
			if strings.ContainsAny(n.String(), ".eE") {
				kind = "float"
			}
		}
		all = append(all, fmt.Sprint(key)+" "+kind)
	}
	return all
}

// Who listened to the original finds its nodes and its throughput: the same
// keys in the same JSON types, under the same names.
func TestSensorHealthTellsWhatItsNodesDo(t *testing.T) {
	s := startSensorHealth(t)
	all := oracle{}
	garbage := []string{`no reading`, `[1]`, `{"reading":1}`}
	s.publish("sensor.reading", all.readings(2000)...)
	s.publish("sensor.reading", garbage...)
	s.tells(all)

	nodes := map[string]map[string]any{}
	counts := map[string]float64{}
	var last map[string]any
	read := func() {
		for _, d := range s.take("sensor_metric_queue") {
			var m map[string]any
			if err := json.Unmarshal(d.Body, &m); err != nil {
				t.Fatal(err)
			}
			partition := "integer"
			if m["node_type"] == "processor" {
				partition = "string"
			}
			want := []string{
				"node_type string", "name string", "partition " + partition, "call_count integer", "msg_count integer", "last_duration integer",
				"min_duration integer", "max_duration integer", "mean_duration float", "sma_duration float", "first_time integer", "last_time integer",
			}
			if got := jsonTypes(t, d.Body); !slices.Equal(got, want) || d.DeliveryMode != amqp.Persistent || d.ContentType != "application/json" {
				t.Fatalf("%s: %v, mode %d, type %q", d.Body, got, d.DeliveryMode, d.ContentType)
			}
			key := fmt.Sprint(m["node_type"], " ", m["name"], " ", m["partition"])
			if calls, _ := m["call_count"].(float64); calls <= counts[key] {
				t.Fatalf("%s comes after %v calls: only what has changed is told", d.Body, counts[key])
			}
			nodes[key], counts[key] = m, m["call_count"].(float64)
		}
		for _, d := range s.take("broadway_throughput_queue") {
			want := []string{"earliest_raw_time integer", "last_raw_time integer", "total_message_count integer", "total_failed_count integer", "total_successful_count integer"}
			if got := jsonTypes(t, d.Body); !slices.Equal(got, want) {
				t.Fatalf("%s: %v", d.Body, got)
			}
			last = nil
			if err := json.Unmarshal(d.Body, &last); err != nil {
				t.Fatal(err)
			}
		}
	}
	total := float64(2000 + len(garbage))
	s.until("the throughput", func() bool {
		read()
		return last != nil && last["total_message_count"] == total
	})
	if last["total_failed_count"] != float64(len(garbage)) || last["total_successful_count"] != 2000.0 ||
		last["last_raw_time"].(float64) <= last["earliest_raw_time"].(float64) {
		t.Errorf("the throughput is %v", last)
	}
	want := []string{"producer rabbitmq 0", "batcher sensor_batcher_one 0", "batcher sensor_batcher_two 0"}
	for lane := range 4 {
		want = append(want, fmt.Sprintf("processor reading_is_a_number %d", lane), fmt.Sprintf("batcher_processor sensor_batcher_one %d", lane),
			fmt.Sprintf("batcher_processor sensor_batcher_two %d", lane), fmt.Sprintf("batcher_processor per_sensor %d", lane))
	}
	// They are told of by another sink than the throughput: the last word may come later.
	var messages map[string]float64
	s.until("what every node had in the end", func() bool {
		read()
		messages = map[string]float64{}
		for _, m := range nodes {
			messages[fmt.Sprint(m["node_type"], " ", m["name"])] += m["msg_count"].(float64)
		}
		one, two := messages["batcher sensor_batcher_one"], messages["batcher sensor_batcher_two"]
		return one+two >= 2000 && messages["batcher_processor per_sensor"] >= 2000 && messages["batcher_processor sensor_batcher_one"] >= one &&
			messages["batcher_processor sensor_batcher_two"] >= two && messages["producer rabbitmq"] >= total
	})
	for key := range nodes {
		if !slices.Contains(want, key) && key != "batcher_processor rabbitmq 0" {
			t.Errorf("there is a node %q", key)
		}
	}
	one, two := messages["batcher sensor_batcher_one"], messages["batcher sensor_batcher_two"]
	if one+two != 2000 || messages["batcher_processor per_sensor"] != 2000 || messages["batcher_processor sensor_batcher_one"] != one {
		t.Errorf("the nodes had %v messages", messages)
	}
	s.drained(2000)
}
