package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/api"
)

// harness is the process under test and the world around it: a broker, a
// proxy in front of that, a publisher, and consumers that count.
type harness struct {
	t       *testing.T
	rng     *rand.Rand
	name    string // the beginning of every name at the broker
	dir     string
	logFile string
	url     string // of the broker, for the process
	proxy   *proxy
	control bool // the broker can be told to close connections
	flows   []*flowFile
	score   *score
	events  map[string]int

	connection *amqp.Connection // of the test, beside the proxy
	channel    *amqp.Channel    // of the publisher
	consumers  sync.WaitGroup
	next       int

	cmd   *exec.Cmd
	ended chan struct{} // closed: cmd has ended
}

func newHarness(t *testing.T, rng *rand.Rand) *harness {
	url, given := os.LookupEnv("RABBITMQ_URL")
	if url == "" {
		url, given = "amqp://guest:guest@localhost:5672/", false
	}
	uri, err := amqp.ParseURI(url)
	if err != nil {
		t.Fatalf("RABBITMQ_URL: %v", err)
	}
	if uri.Scheme != "amqp" {
		t.Skip("RABBITMQ_URL names a broker behind TLS; the harness cuts connections in a proxy, which it cannot be behind")
	}
	connection, err := amqp.Dial(url)
	switch {
	case err != nil && given:
		t.Fatalf("RABBITMQ_URL is set, but %s:%d does not answer: %v", uri.Host, uri.Port, err)
	case err != nil:
		t.Skipf("no RabbitMQ at %s:%d; `tools/broker ensure` starts one: %v", uri.Host, uri.Port, err)
	}
	dir := t.TempDir()
	h := &harness{
		t: t, rng: rng, dir: dir, logFile: filepath.Join(dir, "log"), score: newScore(), events: map[string]int{},
		name: fmt.Sprintf("harness-%x", rand.Uint64()), connection: connection,
		proxy: newProxy(t, net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))),
	}
	h.control = isLocal(uri.Host) && exec.Command("rabbitmqctl", "-q", "eval", "ok.").Run() == nil
	uri.Host, uri.Port = h.proxy.address()
	h.url = uri.String()
	t.Cleanup(h.close)
	h.makeQueues()
	return h
}

// close ends the process and removes what is at the broker.
func (h *harness) close() {
	if h.cmd != nil {
		_ = h.cmd.Process.Kill()
		<-h.ended
	}
	ch, err := h.connection.Channel()
	if err != nil {
		h.t.Errorf("remove the queues of %s: %v", h.name, err)
		return
	}
	for _, f := range h.flows {
		for _, q := range []string{f.in, f.out, f.dead} {
			if _, err := ch.QueueDelete(q, false, false, false); err != nil {
				h.t.Errorf("remove %s: %v", q, err)
			}
		}
	}
	if err := ch.ExchangeDelete(h.name, false, false); err != nil {
		h.t.Errorf("remove %s: %v", h.name, err)
	}
	h.connection.Close()
	h.consumers.Wait()
}

func isLocal(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// makeQueues declares the queues of both flows and begins to consume what
// comes out. Each message goes to both flows.
func (h *harness) makeQueues() {
	h.channel = h.open()
	h.must(h.channel.Confirm(false))
	h.must(h.channel.ExchangeDeclare(h.name, "fanout", true, false, false, false, nil))
	h.flows = []*flowFile{h.flow("pass", "meta.redelivered", ""), h.flow("aggregate", "false", runningAggregate)}
	for i, f := range h.flows {
		for _, q := range []string{f.in, f.out, f.dead} {
			_, err := h.channel.QueueDeclare(q, true, false, false, false, nil)
			h.must(err)
		}
		h.must(h.channel.QueueBind(f.in, "", h.name, false, nil))
		take := []func(*amqp.Delivery){h.score.passed, h.score.aggregated}[i]
		h.consume(f.out, take)
		h.consume(f.dead, func(d *amqp.Delivery) { h.score.unexpected("dead letter of %s: %s %v", f.name, d.Body, d.Headers) })
	}
}

func (h *harness) flow(kind, redelivered, stages string) *flowFile {
	name := h.name + "-" + kind
	f := &flowFile{
		name: name, file: filepath.Join(h.dir, kind+".yaml"), in: name + "-in", out: name + "-out", dead: name + "-dead",
		redelivered: redelivered, stages: stages, lanes: 2, flight: 500, prefetch: 200,
	}
	h.must(os.WriteFile(f.file, []byte(f.text(h.url)), 0o644))
	return f
}

func (h *harness) open() *amqp.Channel {
	ch, err := h.connection.Channel()
	h.must(err)
	return ch
}

func (h *harness) consume(queue string, take func(*amqp.Delivery)) {
	deliveries, err := h.open().Consume(queue, "", true, false, false, false, nil)
	h.must(err)
	h.consumers.Go(func() {
		for d := range deliveries {
			take(&d)
		}
	})
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) trace(format string, args ...any) {
	if os.Getenv("HARNESS_TRACE") != "" {
		h.t.Logf(time.Now().Format("05.000 ")+format, args...)
	}
}

// publish sends the next n messages in as many bursts as there are pauses,
// and waits until the broker has them.
func (h *harness) publish(n int, pauses []time.Duration) error {
	var confirms []*amqp.DeferredConfirmation
	for i, pause := range pauses {
		time.Sleep(pause)
		for range n*(i+1)/len(pauses) - n*i/len(pauses) {
			h.next++
			r := reading{N: h.next, Key: fmt.Sprintf("k%d", h.next*7%23), Value: (h.next*7919)%1000 - 500}
			body, err := json.Marshal(r)
			if err != nil {
				return err
			}
			id := fmt.Sprintf("m%d", r.N)
			h.score.publishing(id, r, body)
			c, err := h.channel.PublishWithDeferredConfirm(h.name, "", true, false, amqp.Publishing{
				MessageId: id, DeliveryMode: amqp.Persistent, ContentType: "application/json", Body: body,
			})
			if err != nil {
				return err
			}
			confirms = append(confirms, c)
		}
	}
	for _, c := range confirms {
		if !c.Wait() {
			return fmt.Errorf("the broker refused message %d", c.DeliveryTag)
		}
	}
	return nil
}

// command is telluride: this very test binary, with the race detector in it
// when the test has it (see TestMain).
func (h *harness) command(args ...string) *exec.Cmd {
	cmd := exec.Command("telluride", append(args, "--state-dir", filepath.Join(h.dir, "state"))...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// start starts the process and waits until both flows run.
func (h *harness) start() {
	h.t.Helper()
	log, err := os.OpenFile(h.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	h.must(err)
	fmt.Fprintf(log, "---- start\n")
	cmd, ended := h.command("run", h.flows[0].file, h.flows[1].file, "--summary", "line"), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	h.must(cmd.Start())
	go func() {
		_ = cmd.Wait()
		log.Close()
		close(ended)
	}()
	h.cmd, h.ended = cmd, ended
	if !await(eventTimeout, func() bool {
		process, err := h.process()
		return err == nil && len(process.Flows) == 2 && process.PID == cmd.Process.Pid
	}) {
		h.score.unexpected("the process does not run %v behind its start", eventTimeout)
		h.report()
		h.t.FailNow()
	}
}

// process is what the process says of itself.
func (h *harness) process() (api.Process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return api.Dial(filepath.Join(h.dir, "state", socketName)).Process(ctx)
}

func (h *harness) queuesEmpty(why *string) bool {
	for _, f := range h.flows {
		q, err := h.channel.QueueDeclarePassive(f.in, true, false, false, false, nil)
		h.must(err)
		if q.Messages > 0 {
			*why = fmt.Sprintf("%s holds %d messages", f.in, q.Messages)
			return false
		}
	}
	return true
}

// logCheck looks for what no run may say.
func (h *harness) logCheck() {
	log, err := os.ReadFile(h.logFile)
	h.must(err)
	for _, word := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if at := bytes.Index(log, []byte(word)); at >= 0 {
			h.score.unexpected("the process said: %s", strings.ToValidUTF8(string(log[at:min(len(log), at+3000)]), "?"))
		}
	}
}

// await polls until a condition holds; false: it did not within the timeout.
func await(timeout time.Duration, holds func() bool) bool {
	for end := time.Now().Add(timeout); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// proxy is a way to the broker that can be cut.
type proxy struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, to: to, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(in) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.sever()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) address() (host string, port int) {
	at := p.listener.Addr().(*net.TCPAddr)
	return at.IP.String(), at.Port
}

func (p *proxy) serve(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	p.keep(in, out)
	defer p.forget(in, out)
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // either end may go at any time
		to.Close()
		from.Close()
	}
	wg.Go(func() { pass(out, in) })
	pass(in, out)
	wg.Wait()
}

func (p *proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// sever resets every connection: what is on its way in the buffers is gone.
func (p *proxy) sever() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	return len(p.conns) / 2
}
