package rabbitmq

import (
	"fmt"
	"log/slog"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	differs    = "it is there in another form: make the flow file say what is there, delete what is there, or leave the declaration out"
	noQueue    = "create it, or add declare: {durable: true} to have it made"
	noExchange = "create it, or have it made: bind and exchange_type do so"
)

// setup makes or checks a queue, its exchanges and its bindings. An error that
// waiting does not cure is fatal.
func (q *queue) setup(l *link, log *slog.Logger) error {
	s, err := begin(l)
	if err != nil {
		return err
	}
	defer s.end()
	for _, b := range q.binds {
		if err := s.exchange(b.exchange.Value, b.kind, b.durable, b.declare); err != nil {
			return err
		}
	}
	if err := s.queue(q); err != nil {
		return err
	}
	for _, b := range q.binds {
		if err := s.bind(q.name.Value, b); err != nil {
			return err
		}
	}
	if !q.declared {
		return nil
	}
	return s.deadLetters(q, log)
}

// probe checks a queue that is not made here, and touches nothing.
func (q *queue) probe(l *link) error {
	if q.declared {
		return nil
	}
	s, err := begin(l)
	if err != nil {
		return err
	}
	defer s.end()
	return s.queue(q)
}

// declarer declares on a channel of its own, which an error closes.
type declarer struct{ *amqp.Channel }

func begin(l *link) (*declarer, error) {
	ch, err := l.Channel()
	if err != nil {
		return nil, denied("open a channel", err, "", "")
	}
	return &declarer{ch}, nil
}

// end closes the channel; when that fails the connection is gone anyway.
func (s *declarer) end() { _ = s.Close() }

func (s *declarer) exchange(name, kind string, durable, declare bool) error {
	if name == "" {
		return nil // the default exchange is always there, and not to be declared
	}
	if !declare {
		err := s.ExchangeDeclarePassive(name, kind, durable, false, false, false, nil)
		return s.told(fmt.Sprintf("exchange %q", name), err, noExchange)
	}
	err := s.ExchangeDeclare(name, kind, durable, false, false, false, nil)
	return s.told(fmt.Sprintf("declare exchange %q", name), err, noExchange)
}

func (s *declarer) queue(q *queue) error {
	name := q.name.Value
	if !q.declared {
		_, err := s.QueueDeclarePassive(name, true, false, false, false, nil)
		return s.told(fmt.Sprintf("queue %q", name), err, noQueue)
	}
	_, err := s.QueueDeclare(name, q.durable, q.autoDelete, q.exclusive, false, q.arguments())
	return s.told(fmt.Sprintf("declare queue %q", name), err, noQueue)
}

func (s *declarer) bind(queue string, b binding) error {
	err := s.QueueBind(queue, b.key, b.exchange.Value, false, b.extra)
	return s.told(fmt.Sprintf("bind queue %q to exchange %q", queue, b.exchange.Value), err, noExchange)
}

// deadLetters makes the queue that keeps dead letters. Where there is none to
// be made it says so when the exchange is missing: the broker would drop
// every dead letter without a word.
func (s *declarer) deadLetters(q *queue, log *slog.Logger) error {
	d := q.dead
	switch {
	case d.queue != "":
		if err := s.exchange(d.exchange, "", true, false); err != nil {
			return err
		}
		_, err := s.QueueDeclare(d.queue, true, false, false, false, nil)
		if err := s.told(fmt.Sprintf("declare queue %q", d.queue), err, noQueue); err != nil || d.exchange == "" {
			return err
		}
		err = s.QueueBind(d.queue, d.key, d.exchange, false, nil)
		return s.told(fmt.Sprintf("bind queue %q to exchange %q", d.queue, d.exchange), err, noExchange)
	case d.given && d.exchange != "":
		if err := s.exchange(d.exchange, "", true, false); err != nil {
			log.Warn("the dead-letter exchange of the queue is not there: rejected messages are dropped until it is", "queue", q.name.Value, "exchange", d.exchange)
		}
	}
	return nil
}

func (s *declarer) told(what string, err error, missing string) error {
	if err == nil {
		return nil
	}
	return denied(what, err, missing, differs)
}
