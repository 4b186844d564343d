package stages_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
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

// pipeline is the shipped flow sensor_health at a real broker, with names of
// its own for everything there.
type pipeline struct {
	*engine.Host
	t       *testing.T
	source  string
	conn    *amqp.Connection
	ch      *amqp.Channel
	names   map[string]string // by those of the file
	replies string
}

// within is how long these tests wait for the broker to get somewhere.
const within = 2 * time.Minute

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	conn, _ := dialBroker(t)
	src, err := os.ReadFile("../flows/sensor_health.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := &pipeline{t: t, conn: conn, names: map[string]string{}}
	prefix := fmt.Sprintf("telluride-test-%x-", rand.Uint64())
	p.source = string(src)
	for _, name := range []string{
		"sensor_events", "broadway_events", "sensor_reading_queue", "sensor_health_queue", "sensor_metric_queue",
		"broadway_throughput_queue", "broadway_config_queue", "dlx_queue",
	} {
		p.names[name] = prefix + name
		p.source = strings.ReplaceAll(p.source, name, p.names[name])
	}
	if p.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	p.replies = p.declared(prefix + "replies")
	p.names["replies"] = p.replies
	t.Cleanup(func() {
		for _, name := range p.names {
			_, _ = p.ch.QueueDelete(name, false, false, false)
		}
		_ = p.ch.ExchangeDelete(p.names["sensor_events"], false, false)
		_ = p.ch.ExchangeDelete(p.names["broadway_events"], false, false)
	})
	p.Host = engine.NewHost(engine.HostConfig{
		Compile: func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
			return flow.Compile(file, src, flow.Options{Env: os.LookupEnv, Params: set, Registry: stages.All()})
		},
	})
	return p
}

func (p *pipeline) declared(name string) string {
	p.t.Helper()
	if _, err := p.ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		p.t.Fatal(err)
	}
	return name
}

// run starts the flow, and ends it with the test.
func (p *pipeline) run() *engine.Flow {
	p.t.Helper()
	f, list := p.Start("sensor_health.yaml", []byte(p.source), nil)
	if list.HasErrors() {
		p.t.Fatal(list.Err())
	}
	p.t.Cleanup(func() {
		p.Close()
		f.Stop()
		_ = f.Wait()
	})
	// The queues are there when the flow has made them.
	for _, name := range []string{"sensor_reading_queue", "broadway_config_queue"} {
		p.eventually(name, func() bool {
			ch, err := p.conn.Channel()
			if err != nil {
				p.t.Fatal(err)
			}
			defer ch.Close()
			q, err := ch.QueueDeclarePassive(p.names[name], true, false, false, false, nil)
			return err == nil && q.Consumers > 0
		})
	}
	return f
}

func (p *pipeline) eventually(what string, is func() bool) {
	p.t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// take waits for a message.
func (p *pipeline) take(queue string) (d amqp.Delivery) {
	p.t.Helper()
	p.eventually("a message in "+queue, func() bool {
		got, ok, err := p.ch.Get(p.names[queue], true)
		if err != nil {
			p.t.Fatal(err)
		}
		d = got
		return ok
	})
	return d
}

// change sends a message to the config queue, as the original does, and waits
// for its receipt.
func (p *pipeline) change(id, contentType, body string) (r change.Receipt, text string) {
	p.t.Helper()
	err := p.ch.PublishWithContext(p.t.Context(), p.names["sensor_events"], "sensor.config", true, false, amqp.Publishing{
		Body: []byte(body), MessageId: id, ContentType: contentType, ReplyTo: p.replies, CorrelationId: "for " + id,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	d := p.take("replies")
	if err := json.Unmarshal(d.Body, &r); err != nil || d.CorrelationId != "for "+id {
		p.t.Fatalf("%s (for %s): %v", d.Body, d.CorrelationId, err)
	}
	return r, strings.ReplaceAll(string(d.Body), `\"`, `"`)
}

// readings publishes n readings of one sensor.
func (p *pipeline) readings(n int) {
	p.t.Helper()
	for range n {
		err := p.ch.PublishWithContext(p.t.Context(), p.names["sensor_events"], "sensor.reading", true, false, amqp.Publishing{
			Body: []byte(`{"device_id":1,"line_id":"l","reading":7,"sensor_id":"s1","timestamp":"2026-01-01T00:00:00Z"}`),
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// counted waits until n readings have been aggregated.
func (p *pipeline) counted(n int) {
	p.t.Helper()
	var health struct {
		TotalReads int `json:"total_reads"`
	}
	for health.TotalReads < n {
		d := p.take("sensor_health_queue")
		if err := json.Unmarshal(d.Body, &health); err != nil {
			p.t.Fatalf("%s: %v", d.Body, err)
		}
	}
	if health.TotalReads != n {
		p.t.Errorf("%d readings were aggregated, want %d", health.TotalReads, n)
	}
}

func (p *pipeline) params() map[string]string {
	all := map[string]string{}
	for _, v := range p.Status()[0].Params {
		all[v.Name] = v.Value + " from " + v.From
	}
	return all
}

func TestTheOriginalsConfigMessagesChangeTheFlow(t *testing.T) {
	p := newPipeline(t)
	p.run()
	p.readings(50)
	first, _ := p.change("c1", "", `{"rate_limit_allowed": 100}`)
	if first.Outcome != change.Applied || !first.Running || first.ID != "c1" || first.Flow != "sensor_health" || first.Before == first.After {
		t.Fatalf("%+v", first)
	}
	for _, s := range append(first.Sources, first.Stages...) {
		if s.Outcome != plan.Kept {
			t.Errorf("%s is %s", s.Name, s.Outcome)
		}
	}
	p.readings(50)
	all, _ := p.change("c2", "application/json", `{
		"producer_concurrency": 2, "processor_concurrency": 3, "sensor_batcher_one_concurrency": 1, "sensor_batcher_one_batch_size": 5,
		"sensor_batcher_two_concurrency": 1, "sensor_batcher_two_batch_size": 6, "rate_limit_allowed": 4000, "rate_limit_interval": 500}`)
	if all.Outcome != change.Applied || all.Before != first.After {
		t.Fatalf("%+v", all)
	}
	for name, want := range map[string]string{
		"producer_concurrency": "2", "processor_concurrency": "3", "sensor_batcher_one_concurrency": "1", "sensor_batcher_one_batch_size": "5",
		"sensor_batcher_two_concurrency": "1", "sensor_batcher_two_batch_size": "6", "rate_limit_allowed": "4000", "rate_limit_interval": "500",
	} {
		if got := p.params()[name]; got != want+" from queue" {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	same, _ := p.change("c3", "", `{"rate_limit_allowed": 4000}`)
	if same.Outcome != change.Unchanged {
		t.Errorf("%+v", same)
	}
	again, _ := p.change("c1", "", `{"rate_limit_allowed": 100}`)
	if again.At != first.At || again.After != first.After {
		t.Errorf("%+v\nwas answered before with\n%+v", again, first)
	}
	long, _ := p.change("c4", "", `{"params": {"rate_limit_allowed": 4500}, "unset": ["producer_concurrency"], "base_version": "`+all.After+`"}`)
	if long.Outcome != change.Applied || !strings.HasSuffix(p.params()["producer_concurrency"], " from default") || p.params()["rate_limit_allowed"] != "4500 from queue" {
		t.Errorf("%+v\n%v", long, p.params())
	}
	file, _ := p.change("c5", "application/yaml", strings.Replace(p.source, "timeout: 1s", "timeout: 2s", 1))
	if file.Outcome != change.Applied || p.params()["rate_limit_allowed"] != "4500 from queue" {
		t.Errorf("%+v\n%v", file, p.params())
	}
	p.readings(50)
	p.counted(150)
	if s := p.Status()[0]; s.Restarts != 0 || s.Version != file.After {
		t.Errorf("%+v", s)
	}
}

func TestABadConfigMessageIsRejectedAndTouchesNothing(t *testing.T) {
	p := newPipeline(t)
	f := p.run()
	p.readings(20)
	before := p.Status()[0]
	sent := 20
	other := strings.Replace(p.source, "name: sensor_health\n", "name: another\n", 1)
	wrong := strings.Replace(p.source, "  - partition:", "  - partiton:", 1)
	for i, bad := range []struct{ body, reason string }{
		{"\x00\x01\xfe garbage", "not text"},
		{"not a change", "neither a JSON object nor a flow file"},
		{`{"rate_limit_allowed": `, "unexpected end of JSON input"},
		{`{"rate_limit_allowed": "many"}`, `param "rate_limit_allowed": expected a whole number, got "many"`},
		{`{"rate_limit_allowed": "100"}`, `param "rate_limit_allowed": expected a number, got the text "100"`},
		{`{"rate_limit_allowed": 1.5}`, `param "rate_limit_allowed": expected a whole number, got "1.5"`},
		{`{"rate_limit_allowed": [1]}`, `param "rate_limit_allowed" cannot be a list`},
		{`{"rate_limit_alowed": 100}`, `did you mean "rate_limit_allowed"?`},
		{`{"rate_limit_allowed": 100, "processor_concurrency": 0}`, "0 is below the minimum 1"},
		{
			`{"rate_limit_allowed": "100", "processor_concurrency": 0, "rate_limit": 1}`,
			`param "rate_limit_allowed": expected a number, got the text "100" | 0 is below the minimum 1 | unknown param "rate_limit"`,
		},
		{`{"rate_limit_allowed": 99999999999999999999}`, "expected a whole number"},
		{`{"params": {"rate_limit_allowed": 100}, "base_version": "old"}`, "made from version old"},
		{other, `the file is for flow "another", not for "sensor_health"`},
		{wrong, `unknown stage "partiton"`},
		{"name: sensor_health\n# " + strings.Repeat("x", 10<<20), "more than 1048576 bytes"},
	} {
		id := fmt.Sprintf("bad%d", i)
		r, text := p.change(id, "", bad.body)
		for reason := range strings.SplitSeq(bad.reason, " | ") {
			if r.Outcome != change.Rejected || !r.Running || r.ID != id || !strings.Contains(text, reason) {
				t.Errorf("%.60q is answered with %s, want %s", bad.body, text, reason)
			}
		}
		if d := p.take("dlx_queue"); string(d.Body) != bad.body || d.MessageId != id {
			t.Errorf("the dead letter is %.60q, want %.60q", d.Body, bad.body)
		}
		p.readings(1)
		sent++
	}
	p.counted(sent)
	after := p.Status()[0]
	if after.Version != before.Version || after.Restarts != 0 || after.State != "running" || p.Flows()[0] != f {
		t.Errorf("%+v\nwas before\n%+v", after, before)
	}
	if good, _ := p.change("good", "", `{"rate_limit_allowed": 100}`); good.Outcome != change.Applied || good.Before != before.Version {
		t.Errorf("%+v", good)
	}
}
