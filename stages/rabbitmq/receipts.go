package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/stage"
)

// mouth publishes receipts. It has a connection of its own, made when the
// first receipt is sent, since a broker that takes no messages does not read
// acknowledgements on the same connection either.
//
// A receipt is sent as well as can be: it waits for its confirmation, yet a
// receipt that nobody takes is dropped, and never keeps a change from being
// acknowledged.
type mouth struct {
	target *target
	rt     stage.Runtime

	mu      sync.Mutex // one receipt at a time
	link    *link
	channel *amqp.Channel
	closed  chan *amqp.Error
	ended   bool
	told    string // what the log says; "": nothing is wrong
}

// address is where a receipt goes, and what it answers.
type address struct {
	exchange, key, correlation string
	mode                       uint8
}

// say sends a receipt. It returns within a few seconds.
func (m *mouth) say(a address, receipt []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	stale := m.link != nil
	err := m.try(a, receipt)
	if err != nil && stale {
		// The connection may have been lost since the last receipt.
		err = m.try(a, receipt)
	}
	switch {
	case err == nil && m.told != "":
		m.told = ""
		m.rt.Log.Info("receipts are sent again")
	case err != nil && m.told != err.Error():
		m.told = err.Error()
		m.rt.Log.Warn("a receipt could not be sent", "exchange", a.exchange, "routing key", a.key, "error", err)
	}
}

func (m *mouth) try(a address, receipt []byte) (err error) {
	bound, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := m.open(bound); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			m.drop()
		}
	}()
	stop := context.AfterFunc(bound, m.link.sever)
	confirmed, err := m.channel.PublishWithDeferredConfirm(a.exchange, a.key, false, false, amqp.Publishing{
		ContentType: "application/json", CorrelationId: a.correlation, DeliveryMode: a.mode,
		Type: "telluride.receipt", AppId: "telluride", Timestamp: m.rt.Clock.Now(), Body: receipt,
	})
	if err != nil {
		stop()
		return readable(err)
	}
	ok, err := confirmed.WaitContext(bound)
	stop()
	switch {
	case err != nil:
		return fmt.Errorf("no confirmation within %v", closeTimeout)
	case ok:
		return nil
	}
	select {
	case e := <-m.closed:
		if e != nil {
			return brokerError{e}
		}
	default:
	}
	return errors.New("the broker has refused it")
}

// open connects when there is no connection.
func (m *mouth) open(ctx context.Context) error {
	if m.link != nil && !m.channel.IsClosed() {
		return nil
	}
	m.drop()
	l, err := m.target.dial(ctx, m.rt)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, l.sever)()
	m.link = l
	if m.channel, err = l.Channel(); err == nil {
		m.closed = m.channel.NotifyClose(make(chan *amqp.Error, 1))
		err = m.channel.Confirm(false)
	}
	if err != nil {
		m.drop()
		return readable(err)
	}
	return nil
}

func (m *mouth) drop() {
	if m.link == nil {
		return
	}
	if err := m.link.close(); err != nil {
		m.rt.Log.Debug("closing", "error", err)
	}
	m.link, m.channel = nil, nil
}

// close ends the connection. Receipts behind it are dropped.
func (m *mouth) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	m.drop()
}
