package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/stages/rabbitmq/brokertest"
)

// harness is the process under test and the world around it: a broker of its
// own, a proxy in front of that, a publisher, and consumers that count.
type harness struct {
	t       *testing.T
	rng     *rand.Rand
	name    string // the beginning of every name at the broker
	dir     string
	logFile string
	node    *brokertest.Node
	url     string // of the broker, for the process
	proxy   *proxy
	flows   []*flowFile
	score   *score
	events  map[string]int
	changes int // that were asked for
	refused int // messages that asked for what is wrong

	connection *amqp.Connection // of the test, beside the proxy
	channel    *amqp.Channel    // of the publisher
	closing    chan struct{}    // closed: consumers end
	consumers  sync.WaitGroup
	next       int

	cmd   *exec.Cmd
	ended chan struct{} // closed: cmd has ended
}

func newHarness(t *testing.T, rng *rand.Rand) *harness {
	node := brokertest.Start(t, brokertest.Options{})
	dir := t.TempDir()
	h := &harness{
		t: t, rng: rng, dir: dir, logFile: filepath.Join(dir, "log"), score: newScore(), events: map[string]int{},
		name: "harness", node: node, proxy: newProxy(t, node.Address()), closing: make(chan struct{}),
	}
	host, port := h.proxy.address()
	h.url = fmt.Sprintf("amqp://guest:guest@%s:%d/", host, port)
	t.Cleanup(h.close)
	h.connect()
	return h
}

// connect connects the publisher, again when the broker has lost it.
func (h *harness) connect() {
	h.t.Helper()
	var err error
	if !await(settleTimeout, func() bool {
		if h.connection, err = amqp.Dial(h.node.URL()); err != nil {
			return false
		}
		h.channel, err = h.connection.Channel()
		return err == nil
	}) {
		h.t.Fatalf("connect to the broker: %v", err)
	}
	h.must(h.channel.Confirm(false))
}

// close ends the process. What is at the broker goes with that.
func (h *harness) close() {
	if h.cmd != nil {
		_ = h.cmd.Process.Kill()
		<-h.ended
	}
	close(h.closing)
	h.connection.Close()
	h.consumers.Wait()
}

// makeQueues declares the queues of both flows and begins to consume what
// comes out. Each message goes to both flows.
func (h *harness) makeQueues() {
	h.must(h.channel.ExchangeDeclare(h.name, "fanout", true, false, false, false, nil))
	h.flows = []*flowFile{h.flow("pass", "meta.redelivered", ""), h.flow("aggregate", "false", runningAggregate)}
	for i, f := range h.flows {
		h.declareAll(f)
		take := []func(*amqp.Delivery){h.score.passed, h.score.aggregated}[i]
		h.consume(f.out, take)
		h.consume(f.dead, func(d *amqp.Delivery) { h.score.unexpected("dead letter of %s: %s %v", f.name, d.Body, d.Headers) })
	}
}

func (h *harness) declareAll(f *flowFile) {
	h.t.Helper()
	for _, q := range []string{f.out, f.dead, f.refused} {
		h.declare(q, nil)
	}
	h.declare(f.config, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f.refused})
	h.declareIn(f)
}

func (h *harness) declare(queue string, args amqp.Table) {
	h.t.Helper()
	_, err := h.channel.QueueDeclare(queue, true, false, false, false, args)
	h.must(err)
}

func (h *harness) declareIn(f *flowFile) {
	h.t.Helper()
	h.declare(f.in, nil)
	h.must(h.channel.QueueBind(f.in, "", h.name, false, nil))
}

func (h *harness) flow(kind, redelivered, stages string) *flowFile {
	name := h.name + "-" + kind
	f := &flowFile{
		name: name, file: filepath.Join(h.dir, kind+".yaml"), in: name + "-in", out: name + "-out", dead: name + "-dead",
		config: name + "-config", refused: name + "-refused",
		redelivered: redelivered, stages: stages, lanes: 2, flight: 500, prefetch: 200,
	}
	h.must(os.WriteFile(f.file, []byte(f.text(h.url)), 0o644))
	return f
}

// consume takes everything that comes to a queue, over as many connections as
// that needs. A message that was taken and comes again, since its connection
// was lost, is marked as redelivered.
func (h *harness) consume(queue string, take func(*amqp.Delivery)) {
	h.consumers.Go(func() {
		for {
			if connection, err := amqp.Dial(h.node.URL()); err == nil {
				h.takeAll(connection, queue, take)
				connection.Close()
			}
			select {
			case <-h.closing:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

func (h *harness) takeAll(connection *amqp.Connection, queue string, take func(*amqp.Delivery)) {
	channel, err := connection.Channel()
	if err != nil {
		return
	}
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return // it is not there at the moment
	}
	for {
		select {
		case <-h.closing:
			return
		case d, ok := <-deliveries:
			if !ok {
				return
			}
			take(&d)
			_ = d.Ack(false) // else it comes again
		}
	}
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

// harnessKeys is how many keys the messages have, by turns.
const harnessKeys = 23

// publish sends the next n messages in as many bursts as there are pauses,
// and waits until the broker has them.
func (h *harness) publish(n int, pauses []time.Duration) error {
	var confirms []*amqp.DeferredConfirmation
	for i, pause := range pauses {
		time.Sleep(pause)
		for range n*(i+1)/len(pauses) - n*i/len(pauses) {
			h.next++
			r := reading{N: h.next, Key: fmt.Sprintf("k%d", h.next*7%harnessKeys), Value: (h.next*7919)%1000 - 500}
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

// start starts the process and waits until the flows run.
func (h *harness) start() {
	h.t.Helper()
	log, err := os.OpenFile(h.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	h.must(err)
	fmt.Fprintf(log, "---- start\n")
	args := []string{"run", "--summary", "line"}
	for _, f := range h.flows {
		args = append(args, f.file)
	}
	cmd, ended := h.command(args...), make(chan struct{})
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
		return err == nil && len(process.Flows) == len(h.flows) && process.PID == cmd.Process.Pid
	}) {
		h.score.unexpected("the process does not run %v behind its start", eventTimeout)
		h.report()
		h.t.FailNow()
	}
}

// process is what the process says of itself.
func (h *harness) process() (api.Process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return api.Dial(filepath.Join(h.dir, "state", socketName)).Process(ctx)
}

func (h *harness) queuesEmpty(why *string) bool {
	for _, f := range h.flows {
		for _, queue := range []string{f.in, f.out} {
			q, err := h.channel.QueueDeclarePassive(queue, true, false, false, false, nil)
			h.must(err)
			if q.Messages > 0 {
				*why = fmt.Sprintf("%s holds %d messages", queue, q.Messages)
				return false
			}
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

// awaitAll polls until a condition holds; false: it did not, and for as long as
// the timeout nothing has come either. How long everything takes depends on the
// machine: records may have to go one by one, each with a write to the disk.
func awaitAll(timeout time.Duration, came func() int, holds func() bool) bool {
	for n, end := came(), time.Now().Add(timeout); !holds(); time.Sleep(50 * time.Millisecond) {
		if now := came(); now != n {
			n, end = now, time.Now().Add(timeout)
		} else if time.Now().After(end) {
			return false
		}
	}
	return true
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
