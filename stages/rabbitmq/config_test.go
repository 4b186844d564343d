package rabbitmq

import (
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/stage"
)

func TestProblemsOfTheConfigAreReportedWhereTheyStand(t *testing.T) {
	for _, c := range []struct {
		kind stage.Kind
		yaml string
		want string // "" for no problem
	}{
		{Source(), `rabbitmq: {queue: q}`, ""},
		{Source(), `rabbitmq: {queue: q, declare: passive}`, ""},
		{Source(), `rabbitmq: {queue: q, declare: nonsense}`, "f.yaml:1:31: "},
		{Source(), `rabbitmq: {}`, "queue is missing"},
		{Source(), `rabbitmq: {queue: q, prefetch: 65536}`, "prefetch 65536 is above 65535"},
		{Source(), `rabbitmq: {queue: q, prefetch: 0}`, "prefetch 0 is below the minimum 1"},
		{Source(), `rabbitmq: {queue: q, url: "amqp://u:p%zz@h"}`, "not a valid AMQP URL"},
		{Source(), `rabbitmq: {queue: q, url: "amqp://u:s3/cret@h"}`, "not a valid AMQP URL"},
		{Source(), `rabbitmq: {queue: q, url: "http://h"}`, "neither amqp:// nor amqps://"},
		{Source(), `rabbitmq: {queue: q, urls: ["amqp://h", "http://u:s3cret@h"]}`, "position 2"},
		{Source(), `rabbitmq: {queue: q, url: "amqp://h", urls: ["amqp://h"]}`, "cannot be given together"},
		{Source(), `rabbitmq: {queue: q, urls: []}`, "urls is empty"},
		{Source(), `rabbitmq: {queue: q, tls: {}}`, "not encrypted"},
		{Source(), `rabbitmq: {queue: q, url: "amqps://h", tls: {cert: a}}`, "belong together"},
		{Source(), `rabbitmq: {queue: q, url: "amqps://h", tls: {ca: a, server_name: b}}`, ""},
		{Source(), `rabbitmq: {queue: q, declare: {type: quorum, durable: false}}`, "a quorum queue is durable"},
		{Source(), `rabbitmq: {queue: q, declare: {type: stream, dead_letter: {exchange: x}}}`, "rejects nothing"},
		{Source(), `rabbitmq: {queue: q, declare: {type: stream, max_length: 5}}`, "x-max-length-bytes"},
		{Source(), `rabbitmq: {queue: q, declare: {type: stream, message_ttl: 5s}}`, "x-max-age"},
		{Source(), `rabbitmq: {queue: q, declare: {arguments: {x-max-length: 5}}}`, "use max_length"},
		{Source(), `rabbitmq: {queue: q, declare: {arguments: [a]}}`, "not a mapping"},
		{Source(), `rabbitmq: {queue: q, declare: {arguments: {a: 99999999999999999999}}}`, "f.yaml:1:"},
		{Source(), `rabbitmq: {queue: q, declare: {dead_letter: {exchange: ""}}}`, "add routing_key"},
		{Source(), `rabbitmq: {queue: q, declare: {dead_letter: {exchange: x, queue: d}}}`, "add routing_key"},
		{Source(), `rabbitmq: {queue: q, declare: {dead_letter: {exchange: "", routing_key: a, queue: d}}}`, "set routing_key: d"},
		{Source(), `rabbitmq: {queue: q, bind: [{routing_key: a}]}`, "exchange is missing"},
		{Source(), `rabbitmq: {queue: q, bind: [{exchange: amq.topic, durable: false}]}`, "remove durable"},
		{Source(), `rabbitmq: {queue: q, bind: [{exchange: x, type: direkt}]}`, `did you mean "direct"`},
		{Source(), `rabbitmq: {queue: q, exclusive: true, consumers: 2}`, "set consumers: 1"},
		{Source(), `rabbitmq: {queue: q, offset: first, consumers: 2}`, "all of it"},
		{Source(), `rabbitmq: {queue: q, offset: first, declare: {}}`, "add type: stream"},
		{Source(), `rabbitmq: {queue: q, offset: first, id: "n"}`, "id is for queues"},
		{Source(), `rabbitmq: {queue: q, id: "n +"}`, "f.yaml:1:"},
		{Source(), `rabbitmq: {queue: q, id: "string(n) + meta.headers.x"}`, ""},
		{Source(), `rabbitmq: {queue: q, id: "meta.messageid"}`, "message_id"},
		{Source(), `rabbitmq: {queue: q, offset: middle}`, "neither first, last, next"},
		{Source(), `rabbitmq: {queue: q, offset: "2026-01-01T00:00:00Z"}`, ""},
		{Sink(), `rabbitmq: {queue: q}`, ""},
		{Sink(), `rabbitmq: {}`, "nothing says where to publish"},
		{Sink(), `rabbitmq: {exchange: x, declare: {}}`, "add queue"},
		{Sink(), `rabbitmq: {queue: q, routing_key: other}`, "remove one of them"},
		{Sink(), `rabbitmq: {queue: q, exchange_type: direct}`, "add exchange"},
		{Sink(), `rabbitmq: {queue: q, unroutable: dead, mandatory: false}`, "needs mandatory"},
		{Sink(), `rabbitmq: {queue: q, forward: [headers, body]}`, `"body" is no property`},
		{Sink(), `rabbitmq: {exchange: x, routing_key: "a.{{ n"}`, `f.yaml:1:41: rabbitmq: routing_key: "{{" without "}}"`},
		{Sink(), `rabbitmq: {exchange: x, routing_key: "a.{{ }}"}`, "holds no expression"},
		{Sink(), `rabbitmq: {exchange: x, routing_key: "a.{{ n + }}"}`, "f.yaml:1:"},
		{Sink(), `rabbitmq: {exchange: x, headers: {a: "{{ {x: {y: n}} }}", b: "{{ n }}-{{ m }}", c: "{{ 'a}}b' }}"}}`, ""},
		{Sink(), `rabbitmq: {exchange: x, headers: {a: "{{ n +* }}"}}`, "f.yaml:1:"},
		{Sink(), `rabbitmq: {queue: q, expiration: soon}`, `"soon" is no duration`},
		{Sink(), `rabbitmq: {queue: q, expiration: 30s, priority: 9}`, ""},
		{Sink(), `rabbitmq: {queue: q, priority: 256}`, "not a whole number from 0 to 255"},
		{Sink(), `rabbitmq: {queue: q, timestamp: now}`, "write an expression"},
	} {
		_, _, _, have := built(c.kind, c.yaml)
		if (c.want == "") != (have == "") || !strings.Contains(have, c.want) || strings.Count(have, "\n") > 1 {
			t.Errorf("%s: got %q, want %q", c.yaml, have, c.want)
		}
		if strings.Contains(have, "s3") {
			t.Errorf("%s: the password is told: %s", c.yaml, have)
		}
	}
	for _, k := range []stage.Kind{Source(), Sink()} {
		if _, _, _, have := built(k, strings.ReplaceAll(k.Example, "${RABBITMQ_URL:-amqp://guest:guest@localhost:5672/}", "amqp://h")); have != "" {
			t.Errorf("the example of the %s: %s", k.Role, have)
		}
	}
}

func TestArgumentsKeepTheirTypes(t *testing.T) {
	d := new(sourceConfig)
	spec := stage.DefineSource("rabbitmq", "", func(c *sourceConfig, f *conf.Fields) { c.bind(f) }, func(c *sourceConfig, b *stage.Builder) stage.SourceSpec {
		*d = *c
		return buildSource(c, b)
	})
	_, _, _, have := built(spec, `rabbitmq: {queue: q, declare: {type: classic, max_length: 3, dead_letter: {exchange: ""
  , routing_key: d}, message_ttl: 1500ms, arguments: {i: 7, s: "7", b: true, f: 0.5, n: null, l: [1, a], m: {x: 1}, t: 2026-01-01}}}`)
	if have != "" {
		t.Fatal(have)
	}
	want := amqp.Table{
		"i": int64(7), "s": "7", "b": true, "f": 0.5, "n": nil, "l": []any{int64(1), "a"}, "m": amqp.Table{"x": int64(1)}, "t": "2026-01-01",
		"x-queue-type": "classic", "x-max-length": int64(3), "x-message-ttl": int64(1500), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "d",
	}
	if have := d.declaration.arguments(); !reflect.DeepEqual(have, want) {
		t.Errorf("got %#v\nwant %#v", have, want)
	}
}

func TestSpecs(t *testing.T) {
	for _, c := range []struct {
		keys           string
		prefetch       int
		rejects, drops bool
		unordered      bool
	}{
		{"queue: q", 1000, true, true, false},
		{"queue: q, consumers: 4, prefetch: 50, declare: {}", 200, true, true, true},
		{"queue: q, declare: {dead_letter: {exchange: x}}", 1000, true, false, false},
		{"queue: q, offset: first", 1000, false, false, false},
		{"queue: q, declare: {type: stream}", 1000, false, false, false},
	} {
		spec, _, _, problems := built(Source(), "rabbitmq: {"+c.keys+"}")
		if problems != "" || spec.Prefetch != c.prefetch || spec.Rejects != c.rejects || (spec.Drops != "") != c.drops || spec.Unordered != c.unordered || !spec.Raw || spec.Text != "q" {
			t.Errorf("%s: %s%+v", c.keys, problems, spec)
		}
	}
}

func TestThePatienceOfTheBrokerIsThatOfTheQueueOrTheConsumers(t *testing.T) {
	for keys, want := range map[string]time.Duration{
		"queue: q": 30 * time.Minute,
		"queue: q, declare: {arguments: {x-consumer-timeout: 60000}}":                                         time.Minute,
		"queue: q, arguments: {x-consumer-timeout: 7200000}":                                                  2 * time.Hour,
		"queue: q, declare: {arguments: {x-consumer-timeout: 60000}}, arguments: {x-consumer-timeout: 30000}": 30 * time.Second,
		"queue: q, declare: {arguments: {x-consumer-timeout: soon}}":                                          30 * time.Minute,
	} {
		spec, _, _, problems := built(Source(), "rabbitmq: {"+keys+"}")
		if problems != "" || spec.Patience != want {
			t.Errorf("%s: %s%v, want %v", keys, problems, spec.Patience, want)
		}
	}
}
