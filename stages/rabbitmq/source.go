package rabbitmq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// source reads a queue. Between Open and Close it is one session: one
// connection, and a channel for each consumer.
type source struct {
	config *sourceConfig
	rt     stage.Runtime

	mu      sync.Mutex // guards session, which Settle looks up
	session *session
}

// session is one life of a source's connection. Delivery tags and sequence
// numbers mean nothing outside of it.
type session struct {
	link      *link
	consumers []*consumer
	unsettled unsettled
	from      int64 // a stream: the first offset that is wanted

	batches chan *taken
	done    chan struct{} // closed: nobody reads any more
	wg      sync.WaitGroup
	idle    chan struct{} // closed: every consumer has ended

	lostOnce sync.Once
	lost     chan struct{} // closed: the session is over
	err      error         // why; valid once lost is closed
}

var (
	_ stage.Source  = (*source)(nil)
	_ stage.Stopper = (*source)(nil)
	_ stage.Prober  = (*source)(nil)
)

func newSource(c *sourceConfig, rt stage.Runtime) *source {
	if rt.MaxBatch <= 0 {
		rt.MaxBatch = 512
	}
	if rt.Reopened {
		c.opened.Store(true)
	}
	return &source{config: c, rt: rt}
}

// Open connects, makes or checks the queue and begins to consume. position is
// the offset of the last record that was read from a stream.
func (s *source) Open(ctx context.Context, position []byte) error {
	if err := s.Close(); err != nil {
		return err
	}
	session := &session{
		batches: make(chan *taken), done: make(chan struct{}), idle: make(chan struct{}), lost: make(chan struct{}),
	}
	start := s.config.start
	if s.config.stream && position != nil {
		offset, name, ok := readPosition(position)
		switch {
		case !ok:
			return fmt.Errorf("the position of %s is not one of a stream", s.rt.Name)
		case name != "" && name != s.config.name.Value:
			s.rt.Log.Warn("the saved position is that of another stream; reading this one from where offset says",
				"source", s.rt.Name, "stream", s.config.name.Value, "other", name)
		default:
			session.from = offset + 1
			start = session.from
		}
	}
	l, err := s.config.dial(ctx, s.rt)
	if err != nil {
		return s.fault(err)
	}
	session.link = l
	// A broker that does not answer must not keep Open from ending.
	bound, cancel := context.WithTimeout(ctx, s.config.timeout)
	stop := context.AfterFunc(bound, l.sever)
	err = session.begin(s.config, s.rt, start)
	stop()
	cancel()
	if err != nil {
		s.config.leave(l)
		if closing := session.close(); closing != nil {
			s.rt.Log.Debug("closing", "error", closing)
		}
		return s.fault(err)
	}
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	s.config.opened.Store(true)
	s.rt.Log.Info("connected", "source", s.rt.Name, "broker", l.address, "queue", s.config.name.Value)
	return nil
}

// Probe connects, and looks whether a queue is there that the flow does not make.
func (s *source) Probe(ctx context.Context) error {
	l, err := s.config.dial(ctx, s.rt)
	if err != nil {
		return s.fault(err)
	}
	bound, cancel := context.WithTimeout(ctx, s.config.timeout)
	defer cancel()
	defer context.AfterFunc(bound, l.sever)()
	err = s.config.probe(l)
	if closing := l.close(); closing != nil {
		s.rt.Log.Debug("closing", "error", closing)
	}
	if err != nil {
		return s.fault(err)
	}
	return nil
}

// fault is an error in the words of sources. A queue that is missing is
// something to wait for once it has been there: it may be declared again.
func (s *source) fault(err error) error {
	if isFatal(err) && !(isMissing(err) && s.config.opened.Load()) {
		return err
	}
	return stage.Transient(err)
}

func (s *session) begin(c *sourceConfig, rt stage.Runtime, start any) error {
	if err := c.setup(s.link, rt.Log); err != nil {
		return err
	}
	name := c.tag
	if name == "" {
		name = clip("telluride/"+rt.Flow+"/"+rt.Name, maxShort-4)
	}
	for i := range c.consumers {
		tag := name
		if c.consumers > 1 {
			tag = fmt.Sprintf("%s-%d", name, i+1)
		}
		consumer, err := s.consume(c, rt.MaxBatch, tag, start)
		if err != nil {
			return err
		}
		s.consumers = append(s.consumers, consumer)
	}
	for _, c := range s.consumers {
		s.wg.Go(func() { c.collect(s, rt) })
	}
	s.wg.Go(func() {
		for _, c := range s.consumers {
			<-c.ended
		}
		close(s.idle)
	})
	return nil
}

// consume begins one consumer.
func (s *session) consume(c *sourceConfig, maxBatch int, tag string, start any) (*consumer, error) {
	what := fmt.Sprintf("consume queue %q", c.name.Value)
	ch, err := s.link.Channel()
	if err != nil {
		return nil, denied(what, err, "", "")
	}
	consumer := &consumer{
		channel: ch, enough: max(1, min(c.prefetch/8, maxBatch)), queue: c.name.Value, tag: tag, stream: c.stream, unknown: !c.stream && (!c.declared || c.kind == ""), ended: make(chan struct{}),
		id:     newIdentifier(c.ident),
		closed: ch.NotifyClose(make(chan *amqp.Error, 1)), cancelled: ch.NotifyCancel(make(chan string, 1)),
	}
	if err := ch.Qos(c.prefetch, 0, false); err != nil {
		return nil, denied(what, err, "", "")
	}
	arguments := amqp.Table{}
	for k, v := range c.arguments {
		arguments[k] = v
	}
	if c.priority != 0 {
		arguments["x-priority"] = int64(c.priority)
	}
	if c.stream {
		arguments[offsetHeader] = start
	}
	consumer.deliveries, err = ch.Consume(c.name.Value, tag, false, c.exclusive, false, false, arguments)
	if err != nil {
		other := "see the key arguments"
		if c.stream {
			other = "remove offset, which is for streams"
		}
		return nil, denied(what, err, noQueue, other)
	}
	return consumer, nil
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// Read returns what has been delivered to one of the consumers.
func (s *source) Read(ctx context.Context) (stage.Input, error) {
	session := s.current()
	if session == nil {
		return stage.Input{}, errors.New("read: the source is not open")
	}
	select {
	case t := <-session.batches:
		return session.input(t), nil
	case <-session.lost:
		s.config.leave(session.link)
		return stage.Input{}, session.err
	case <-session.idle:
		// The last consumers may have ended for either reason.
		select {
		case <-session.lost:
			s.config.leave(session.link)
			return stage.Input{}, session.err
		default:
			return stage.Input{}, stage.ErrStopped
		}
	case <-ctx.Done():
		return stage.Input{}, ctx.Err()
	}
}

// input gives the deliveries their sequence numbers.
func (s *session) input(t *taken) stage.Input {
	seq := s.unsettled.add(t.meta.consumer, t.tag, len(t.batch.Records))
	t.meta.seq = seq
	for i := range t.batch.Records {
		t.batch.Records[i].Origin.Seq = seq + uint64(i)
	}
	in := stage.Input{Batch: t.batch, IDs: t.ids, Redelivered: t.redelivered}
	if t.meta.consumer.stream {
		in.Position = appendPosition(nil, t.offset, t.meta.consumer.queue)
	}
	return in
}

// appendPosition writes a position: the offset of the last record that was
// read, eight bytes, big endian, and the name of the stream, which those of
// earlier versions lack.
func appendPosition(b []byte, offset int64, stream string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(offset)), stream...)
}

func readPosition(b []byte) (offset int64, stream string, ok bool) {
	if len(b) < 8 {
		return 0, "", false
	}
	return int64(binary.BigEndian.Uint64(b)), string(b[8:]), true
}

func (s *source) current() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// Settle rejects and acknowledges. When the session has ended there is
// nothing to do: the broker delivers again what was not settled.
func (s *source) Settle(_ context.Context, what stage.Settlement) error {
	session := s.current()
	if session == nil {
		return nil
	}
	if s.config.stream {
		what.Rejected = nil // a stream keeps everything, and an ack only asks for more
	}
	rejects, acks := session.unsettled.verdicts(what)
	// An error here is that of a session that has ended, which Read reports.
	for _, r := range rejects {
		_ = r.consumer.channel.Reject(r.tag, false)
	}
	for _, a := range acks {
		_ = a.consumer.channel.Ack(a.tag, true)
	}
	return nil
}

// Stop cancels the consumers. What has been delivered is still read.
func (s *source) Stop(context.Context) error {
	session := s.current()
	if session == nil {
		return nil
	}
	for _, c := range session.consumers {
		if err := c.channel.Cancel(c.tag, false); err != nil {
			return stage.Transient(fmt.Errorf("cancel consumer %q: %w", c.tag, readable(err)))
		}
	}
	return nil
}

// Close ends the session. The broker delivers again what is not settled.
func (s *source) Close() error {
	s.mu.Lock()
	session := s.session
	s.session = nil
	s.mu.Unlock()
	if session == nil {
		return nil
	}
	return session.close()
}

func (s *session) close() error {
	close(s.done)
	stop := make(chan struct{})
	var farewell sync.WaitGroup
	farewell.Go(func() {
		for _, c := range s.consumers {
			c.leave()
		}
		close(stop)
	})
	// A broker that does not answer is left without a farewell.
	bound, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	select {
	case <-stop:
	case <-bound.Done():
		s.link.sever()
	}
	farewell.Wait()
	err := s.link.close()
	s.wg.Wait()
	return err
}

// lose ends the session with the reason.
func (s *session) lose(err error) {
	s.lostOnce.Do(func() {
		s.err = err
		close(s.lost)
	})
}

// taken is a batch of deliveries of one consumer.
type taken struct {
	batch       *record.Batch
	meta        *envelopes
	tag         uint64 // of the first
	offset      int64  // of the last, in a stream
	ids         []string
	redelivered []bool
}
