package rabbitmq

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a real RabbitMQ, and what a test makes there.
type broker struct {
	t    *testing.T
	url  string
	conn *amqp.Connection
	ch   *amqp.Channel
}

// realBroker is the broker at RABBITMQ_URL, or at localhost. Where the variable
// says that there is one, its absence is a failure.
func realBroker(t *testing.T) *broker {
	t.Helper()
	url, given := os.LookupEnv("RABBITMQ_URL")
	if !given || url == "" {
		url = defaultURL
	}
	conn, err := amqp.Dial(url)
	switch {
	case err != nil && given:
		t.Fatalf("RABBITMQ_URL is set, but %s does not answer: %v", show(url), readable(err))
	case err != nil:
		t.Skipf("no RabbitMQ at %s; `tools/broker ensure` starts one: %v", show(url), readable(err))
	}
	return connected(t, url, conn)
}

func connected(t *testing.T, url string, conn *amqp.Connection) *broker {
	b := &broker{t: t, url: url, conn: conn}
	b.ch = b.channel()
	t.Cleanup(func() { conn.Close() })
	return b
}

func (b *broker) channel() *amqp.Channel {
	b.t.Helper()
	ch, err := b.conn.Channel()
	if err != nil {
		b.t.Fatal(err)
	}
	return ch
}

// name is a name that no other test uses. What has it is deleted in the end.
func (b *broker) name() string {
	name := fmt.Sprintf("telluride-test-%x", rand.Uint64())
	b.t.Cleanup(func() {
		// On channels of their own, since what is not there closes them.
		for _, clean := range []func(*amqp.Channel) error{
			func(ch *amqp.Channel) error { _, err := ch.QueueDelete(name, false, false, false); return err },
			func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) },
		} {
			if ch, err := b.conn.Channel(); err == nil {
				_ = clean(ch)
				ch.Close()
			}
		}
	})
	return name
}

func (b *broker) queue(args amqp.Table) string {
	b.t.Helper()
	name := b.name()
	if _, err := b.ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		b.t.Fatal(err)
	}
	return name
}

func (b *broker) exchange(kind string) string {
	b.t.Helper()
	name := b.name()
	if err := b.ch.ExchangeDeclare(name, kind, true, false, false, false, nil); err != nil {
		b.t.Fatal(err)
	}
	return name
}

func (b *broker) bind(queue, key, exchange string) {
	b.t.Helper()
	if err := b.ch.QueueBind(queue, key, exchange, false, nil); err != nil {
		b.t.Fatal(err)
	}
}

// publish puts n messages {"n":1}, {"n":2}, … into a queue, with ids m1, m2, …
func (b *broker) publish(queue string, n int) {
	b.t.Helper()
	ch := b.channel()
	defer ch.Close()
	if err := ch.Confirm(false); err != nil {
		b.t.Fatal(err)
	}
	var last *amqp.DeferredConfirmation
	var err error
	for i := 1; i <= n; i++ {
		last, err = ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
			Body: fmt.Appendf(nil, `{"n":%d}`, i), MessageId: fmt.Sprintf("m%d", i), DeliveryMode: amqp.Persistent,
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if last == nil {
		return
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if ok, err := last.WaitContext(ctx); !ok || err != nil {
		b.t.Fatalf("%d messages for %s are not confirmed: %v", n, queue, err)
	}
}

// drained takes what is ready in a queue out of it.
func (b *broker) drained(queue string) (all []amqp.Delivery) {
	b.t.Helper()
	for {
		d, ok, err := b.ch.Get(queue, true)
		if err != nil {
			b.t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, d)
	}
}

func bodies(all []amqp.Delivery) string {
	var s []string
	for _, d := range all {
		s = append(s, string(d.Body))
	}
	return strings.Join(s, " ")
}

// ready is the number of messages that nobody holds.
func (b *broker) ready(queue string) int {
	b.t.Helper()
	ch := b.channel()
	defer ch.Close()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return q.Messages
}

// patience is how long the broker may take for something: it shares two cores
// and a disk with whatever else is tested.
const patience = time.Minute

// eventually waits for the broker to get somewhere.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// logged collects what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) count(s string) int { return strings.Count(l.String(), s) }

func runtimeOf(name string) (stage.Runtime, *logged) {
	l := new(logged)
	return stage.Runtime{Flow: "test", Name: name, Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(l, nil)), MaxBatch: 100}, l
}

// built decodes and builds a kind, and returns what is wrong with it.
func built(k stage.Kind, yaml string) (source stage.SourceSpec, sink stage.SinkSpec, layout *record.Layout, problems string) {
	list := new(diag.List)
	node := conf.Parse("f.yaml", []byte(yaml), conf.Limits{}, list)
	f := conf.NewFields(&conf.Scope{File: "f.yaml", Source: []byte(yaml), Diags: list}, node, "")
	c := k.Decode(f)
	sound := f.Finish()
	b := &stage.Builder{Flow: "test", Name: "rabbitmq", Diags: list, Layout: record.NewLayout()}
	switch {
	case !sound:
	case k.Role == stage.RoleSource:
		source = k.Source(c, b)
	default:
		sink = k.Sink(c, b)
	}
	list.Sort()
	for _, d := range *list {
		problems += d.String() + "\n"
	}
	return source, sink, b.Layout, problems
}

// testSource is a source under test.
type testSource struct {
	*source
	t    *testing.T
	log  *logged
	last uint64       // the last sequence number
	over stage.Source // a sample, which is read instead
}

// source makes a source of its keys, with the broker's URL unless they have one.
func (b *broker) source(keys string) *testSource {
	b.t.Helper()
	if !strings.Contains(keys, "url") {
		keys = fmt.Sprintf("url: %q, %s", b.url, keys)
	}
	spec, _, _, problems := built(Source(), "rabbitmq: {"+keys+"}")
	if problems != "" {
		b.t.Fatal(problems)
	}
	rt, log := runtimeOf("src")
	s := &testSource{source: spec.New(rt).(*source), t: b.t, log: log}
	b.t.Cleanup(func() { s.Close() })
	return s
}

func (s *testSource) open(position []byte) *testSource {
	s.t.Helper()
	if err := s.Open(s.t.Context(), position); err != nil {
		s.t.Fatal(err)
	}
	s.last = 0
	return s
}

// got is one record that was read.
type got struct {
	seq         uint64
	body, id    string
	redelivered bool
	meta        record.Meta
	position    []byte
}

func (g got) lookup(path string) string {
	p, err := record.ParsePath(path)
	if err != nil {
		panic(err)
	}
	return string(record.AppendValue(nil, g.meta.Lookup(p, g.seq)))
}

func (s *testSource) next(ctx context.Context) (stage.Input, error) {
	if s.over != nil {
		return s.over.Read(ctx)
	}
	return s.Read(ctx)
}

// read reads n records, which must have the next sequence numbers.
func (s *testSource) read(n int) (all []got) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for len(all) < n {
		in, err := s.next(ctx)
		if err != nil {
			s.t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, s.unpack(in)...)
	}
	if len(all) > n {
		s.t.Fatalf("%d records, want %d", len(all), n)
	}
	return all
}

func (s *testSource) unpack(in stage.Input) (all []got) {
	s.t.Helper()
	for i, r := range in.Batch.Records {
		s.last++
		g := got{seq: r.Origin.Seq, body: string(r.Payload), meta: r.Meta, position: in.Position}
		if in.IDs != nil {
			g.id = in.IDs[i]
		}
		if in.Redelivered != nil {
			g.redelivered = in.Redelivered[i]
		}
		if g.seq != s.last {
			s.t.Fatalf("sequence number %d, want %d", g.seq, s.last)
		}
		all = append(all, g)
	}
	return all
}

// nothing checks that no record comes for a moment.
func (s *testSource) nothing() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 100*time.Millisecond)
	defer cancel()
	if in, err := s.next(ctx); err == nil {
		s.t.Fatalf("read %d records too many", len(in.Batch.Records))
	}
}

// failure reads until the session is over.
func (s *testSource) failure() error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		if _, err := s.Read(ctx); err != nil {
			if ctx.Err() != nil {
				s.t.Fatal("the session goes on")
			}
			return err
		}
	}
}

func (s *testSource) settle(upto uint64, rejected ...uint64) {
	s.t.Helper()
	if err := s.Settle(s.t.Context(), stage.Settlement{Upto: upto, Rejected: rejected}); err != nil {
		s.t.Fatal(err)
	}
}

// proxy stands between a client and the broker.
type proxy struct {
	t        *testing.T
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	stalled bool
	clients []net.Conn
	all     []net.Conn
}

// proxied starts a proxy; url leads to it.
func (b *broker) proxied() (p *proxy, url string) {
	b.t.Helper()
	uri, err := amqp.ParseURI(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	p = &proxy{t: b.t, listener: l, target: net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port))}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	b.t.Cleanup(func() {
		l.Close()
		p.stall(false)
		p.cut()
		p.wg.Wait()
	})
	uri.Host, uri.Port = "127.0.0.1", l.Addr().(*net.TCPAddr).Port
	return p, uri.String()
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.target)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.clients = append(p.clients, c)
		p.all = append(p.all, c, up)
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(up, c) })
		p.wg.Go(func() { p.copy(c, up) })
	}
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.stalled {
			p.cond.Wait()
		}
		_, werr := to.Write(buf[:n])
		p.mu.Unlock()
		if err != nil || werr != nil {
			return
		}
	}
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.all {
		c.Close()
	}
	p.all, p.clients = nil, nil
}

// stall has nothing pass any more, or again.
func (p *proxy) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = on
	p.cond.Broadcast()
}

// inject sends a method of channel 0 to the clients, as if the broker did.
func (p *proxy) inject(class, method uint16, arguments []byte) {
	frame := []byte{1, 0, 0, 0, 0, 0, byte(4 + len(arguments)), byte(class >> 8), byte(class), byte(method >> 8), byte(method)}
	frame = append(append(frame, arguments...), 0xCE)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		if _, err := c.Write(frame); err != nil {
			p.t.Error(err)
		}
	}
}
