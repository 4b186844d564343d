package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// poisonQueues are flows over queues and a stream, in one process, each over a
// queue with records that end it, but for the last.
var poisonQueues = []struct {
	name     string
	declare  amqp.Table
	source   string // beside url and queue
	dead     string // beside the name of the flow; "": rejected
	ids      bool
	poison   map[int]string
	stateful bool
}{
	{name: "classic", dead: "", poison: map[int]string{0: "killed", 250: "exits"}},
	{name: "quorum", declare: amqp.Table{"x-queue-type": "quorum"}, dead: "file", ids: true, poison: map[int]string{100: "panics", 101: "killed"}, stateful: true},
	{name: "stream", declare: amqp.Table{"x-queue-type": "stream"}, source: ", offset: first", dead: "file", poison: map[int]string{299: "exits"}, stateful: true},
	{name: "healthy", dead: "file", ids: true, stateful: true},
}

const poisonQueueFlow = `name: %s
source:
  rabbitmq: {url: %q, queue: %s%s}
stages:
  - mortal: {}
  - route:
      match: all
      branches:
        - name: each
          when: "n >= 0"
          sink: {name: each, file: {path: %[1]s.ndjson, mode: append}}
%[5]s
`

const poisonTotals = `        - name: totals
          when: "n >= 0"
          stages:
            - partition: {by: key, lanes: 2}
            - window: {by: key, global: true, emit: {every: 100ms, changed_only: true}, aggregate: {count: "count()", sum: "sum(n)"}}
sink: {name: totals, file: {path: %s.totals.ndjson, mode: append}}
checkpoint: {interval: 100ms}
`

// TestQueuesWithRecordsThatEndTheProcess: every good record comes through, every
// other one is a dead letter once, also where flows without such records run in
// the same process; and then the process lives.
func TestQueuesWithRecordsThatEndTheProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("it ends some twenty processes")
	}
	connection := dialBroker(t)
	s := &queueSupervised{supervised: supervised{t: t, dir: t.TempDir()}, channel: must1(t)(connection.Channel())}
	if err := s.channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	prefix := fmt.Sprintf("telluride-poison-%x", rand.Uint64())
	for i := range poisonQueues {
		s.flow(i, prefix)
	}
	s.start()
	deadline := time.Now().Add(8 * time.Minute)
	for why := s.missing(); why != ""; why = s.missing() {
		if time.Now().After(deadline) || s.endsNow() > 100 {
			s.stop()
			t.Fatalf("%s; the end of what the process said:\n%s", why, s.tail())
		}
		time.Sleep(50 * time.Millisecond)
	}
	before := s.endsNow()
	for i := range poisonQueues { // it lives, and goes on
		const last = `{"n":1000,"key":"k0","last":true}`
		s.publish(i, last, "last")
		s.good[i] = append(s.good[i], last)
	}
	if !await(2*time.Minute, func() bool { return s.missing() == "" }) {
		t.Errorf("behind the dead letters: %s", s.missing())
	}
	s.stop()
	if n := s.endsNow(); n != before {
		t.Errorf("the process ended %d times more", n-before)
	}
	t.Logf("the process ended %d times", before)
	for i := range poisonQueues {
		s.check(i)
	}
	if t.Failed() {
		t.Logf("the end of what the process said:\n%s", s.tail())
	}
}

func must1(t *testing.T) func(*amqp.Channel, error) *amqp.Channel {
	return func(ch *amqp.Channel, err error) *amqp.Channel {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
}

// queueSupervised is a process that is started again until it is told to end.
type queueSupervised struct {
	supervised
	channel *amqp.Channel
	files   []string
	queues  []string
	good    [][]string
	dead    [][]string

	mu      sync.Mutex
	process *exec.Cmd
	ending  bool
	ended   chan error
}

// flow makes a flow, its queue, and what is in that.
func (s *queueSupervised) flow(i int, prefix string) {
	q := poisonQueues[i]
	queue := prefix + "-" + q.name
	args := amqp.Table{}
	maps.Copy(args, q.declare)
	if q.dead == "" {
		args["x-dead-letter-exchange"], args["x-dead-letter-routing-key"] = "", queue+"-dead"
		s.declare(queue+"-dead", nil)
	}
	s.declare(queue, args)
	s.queues = append(s.queues, queue)
	rest := ""
	if q.stateful {
		rest = fmt.Sprintf(poisonTotals, q.name)
	}
	if q.dead == "file" {
		rest += fmt.Sprintf("dead_letter: {file: {path: %s.dead.ndjson, mode: append}}\n", q.name)
	}
	s.files = append(s.files, s.write(q.name+".yaml", fmt.Sprintf(poisonQueueFlow, q.name, brokerURL(), queue, q.source, rest)))
	all, good, dead := poisoned(300, q.poison)
	s.good, s.dead = append(s.good, good), append(s.dead, dead)
	for n, body := range all {
		s.publish(i, body, fmt.Sprintf("m%d", n))
	}
}

func (s *queueSupervised) declare(queue string, args amqp.Table) {
	s.t.Helper()
	if _, err := s.channel.QueueDeclare(queue, true, false, false, false, args); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		connection, err := amqp.Dial(brokerURL())
		if err != nil {
			return
		}
		defer connection.Close()
		if ch, err := connection.Channel(); err == nil {
			_, _ = ch.QueueDelete(queue, false, false, false)
		}
	})
}

func (s *queueSupervised) publish(i int, body, id string) {
	s.t.Helper()
	m := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}
	if poisonQueues[i].ids {
		m.MessageId = id
	}
	c, err := s.channel.PublishWithDeferredConfirm("", s.queues[i], true, false, m)
	if err != nil || !c.Wait() {
		s.t.Fatalf("publish: %v", err)
	}
}

// start has the process run, and again whenever it ends before stop.
func (s *queueSupervised) start() {
	s.ended = make(chan error, 1)
	go func() {
		for {
			cmd := s.command(append([]string{"run", "--http", "off"}, s.files...)...)
			s.mu.Lock()
			if s.ending {
				s.mu.Unlock()
				s.ended <- nil
				return
			}
			err := cmd.Start()
			s.process = cmd
			s.mu.Unlock()
			if err == nil {
				err = cmd.Wait()
			}
			s.mu.Lock()
			ending := s.ending
			if !ending {
				s.ends++
			}
			s.mu.Unlock()
			if ending || err != nil && !errors.As(err, new(*exec.ExitError)) {
				s.ended <- err
				return
			}
		}
	}()
}

func (s *queueSupervised) endsNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends
}

func (s *queueSupervised) stop() {
	s.t.Helper()
	s.mu.Lock()
	s.ending = true
	if s.process != nil {
		_ = s.process.Process.Signal(syscall.SIGTERM)
	}
	s.mu.Unlock()
	if err := <-s.ended; err != nil {
		s.t.Errorf("the end of the process: %v", err)
	}
}

// missing says what is still to come; "" when nothing is.
func (s *queueSupervised) missing() string {
	for i, q := range poisonQueues {
		got := s.linesOf(q.name + ".ndjson")
		for _, want := range s.good[i] {
			if got[want] == 0 {
				return fmt.Sprintf("%s: %s is missing", q.name, want)
			}
		}
		if q.stateful {
			if why := s.wrongTotals(i); why != "" {
				return why
			}
		}
		if n := s.letters(i); n < len(s.dead[i]) {
			return fmt.Sprintf("%s: %d dead letters, want %d", q.name, n, len(s.dead[i]))
		}
	}
	return ""
}

// wrongTotals compares the largest totals with what they must be in the end.
func (s *queueSupervised) wrongTotals(i int) string {
	counts, sums := map[string]int{}, map[string]int{}
	for _, line := range s.good[i] {
		r := parsed(s.t, line)
		counts[r.Key]++
		sums[r.Key] += r.N
	}
	most := map[string]poisonRecord{}
	for line := range s.linesOf(poisonQueues[i].name + ".totals.ndjson") {
		if r := parsed(s.t, line); r.Count > most[r.Key].Count {
			most[r.Key] = r
		}
	}
	for key, n := range counts {
		if r := most[key]; r.Count != n || r.Sum != sums[key] {
			return fmt.Sprintf("%s: %s has count %d and sum %d, want %d and %d", poisonQueues[i].name, key, r.Count, r.Sum, n, sums[key])
		}
	}
	return ""
}

// linesOf is lines of a file that may not be there yet.
func (s *queueSupervised) linesOf(name string) map[string]int {
	if _, err := os.Stat(filepath.Join(s.dir, name)); err != nil {
		return nil
	}
	all := s.lines(name)
	for line := range all {
		if !strings.HasSuffix(line, "}") {
			delete(all, line) // it is being written
		}
	}
	return all
}

func (s *queueSupervised) letters(i int) (n int) {
	if q := poisonQueues[i]; q.dead != "" {
		return len(s.linesOf(q.name + ".dead.ndjson"))
	}
	q, err := s.channel.QueueDeclarePassive(s.queues[i]+"-dead", true, false, false, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return q.Messages
}

func (s *queueSupervised) check(i int) {
	s.t.Helper()
	q := poisonQueues[i]
	got := slices.Sorted(maps.Keys(s.lines(q.name + ".ndjson")))
	if want := slices.Sorted(slices.Values(s.good[i])); !slices.Equal(got, want) {
		s.t.Errorf("%s: %d different records came through, want %d", q.name, len(got), len(want))
	}
	if q.dead != "" {
		if len(s.dead[i]) > 0 || len(s.linesOf(q.name+".dead.ndjson")) > 0 {
			s.checkLetters(q.name+".dead.ndjson", s.dead[i])
		}
		return
	}
	var rejected []string
	for range s.letters(i) {
		d, ok, err := s.channel.Get(s.queues[i]+"-dead", true)
		if err != nil || !ok {
			s.t.Fatalf("get: %v", err)
		}
		rejected = append(rejected, string(d.Body))
	}
	slices.Sort(rejected)
	if want := slices.Sorted(slices.Values(s.dead[i])); !slices.Equal(rejected, want) {
		s.t.Errorf("%s: rejected\n%v, want\n%v", q.name, rejected, want)
	}
}
