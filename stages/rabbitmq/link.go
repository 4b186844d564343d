package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/stage"
)

// link is one connection.
type link struct {
	*amqp.Connection
	wire    atomic.Pointer[wire]
	address string      // without secrets
	node    int32       // its place among the URLs
	left    atomic.Bool // its end is counted
}

// closeTimeout bounds the farewell of a connection.
const closeTimeout = 3 * time.Second

// dial connects to the first node that can be reached. The connection is
// called telluride/<flow>/<stage> at the broker. An error is fatal when every
// node failed for good.
func (t *target) dial(ctx context.Context, rt stage.Runtime) (*link, error) {
	var all []error
	waiting := false
	first := int(t.last.Load())
	for i := range t.urls {
		n := (first + i) % len(t.urls)
		t.last.Store(int32(n))
		l, err := t.dialOne(ctx, t.urls[n], "telluride/"+rt.Flow+"/"+rt.Name)
		if err == nil {
			l.node = int32(n)
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect to %s: %w", show(t.urls[n]), context.Cause(ctx))
		}
		waiting = waiting || !isFatal(err)
		all = append(all, fmt.Errorf("connect to %s: %w", show(t.urls[n]), err))
	}
	t.beyond(t.last.Load())
	err := errors.Join(all...)
	if waiting && isFatal(err) {
		return nil, errors.New(err.Error()) // without the marks of some nodes
	}
	return nil, err
}

// leave has the next dial begin behind the node whose connection was lost, or
// was of no use. The end of a connection may be seen in several places, and
// counts once.
func (t *target) leave(l *link) {
	if !l.left.Swap(true) {
		t.beyond(l.node)
	}
}

// beyond has the next dial begin behind a node, if that was the last.
func (t *target) beyond(node int32) { t.last.CompareAndSwap(node, (node+1)%int32(len(t.urls))) }

func (t *target) dialOne(ctx context.Context, raw, name string) (*link, error) {
	secure, err := t.tls.config()
	if err != nil {
		return nil, fatal{err}
	}
	uri, err := amqp.ParseURI(raw)
	if err != nil {
		return nil, fatal{errors.New("the URL is not valid")} // err may hold a part of the password
	}
	l := &link{address: show(raw)}
	properties := amqp.NewConnectionProperties()
	properties["product"] = "Telluride"
	properties.SetClientConnectionName(name)
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	defer context.AfterFunc(ctx, l.sever)()
	l.Connection, err = amqp.DialConfig(raw, amqp.Config{
		SASL:            logins(uri, properties),
		Heartbeat:       t.heartbeat,
		TLSClientConfig: secure,
		Properties:      properties,
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			w := newWire(c)
			l.wire.Store(w)
			if ctx.Err() != nil { // sever came too early to find it
				l.sever()
			}
			return w, nil
		},
	})
	if err == nil {
		return l, nil
	}
	// The client leaves the socket of a failed login open, and a goroutine
	// that reads from it.
	l.sever()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("no answer within %v: %w", t.timeout, err)
	}
	return nil, refused(err)
}

// sever cuts the connection off without a farewell: whatever waits for the
// socket returns with an error.
func (l *link) sever() {
	if w := l.wire.Load(); w != nil {
		_ = w.Close() // nothing can be done about it, nor has to be
	}
}

// close says farewell, for a bounded time. It is safe to call on a connection
// that is lost.
func (l *link) close() error {
	err := l.CloseDeadline(time.Now().Add(closeTimeout))
	l.sever()
	if err != nil && !errors.Is(err, amqp.ErrClosed) {
		return fmt.Errorf("close the connection to %s: %w", l.address, err)
	}
	return nil
}

// logins are the ways to log in that the URL asks for, PLAIN by default.
func logins(uri amqp.URI, properties amqp.Table) []amqp.Authentication {
	ways := uri.AuthMechanism
	if ways == nil {
		ways = []string{"PLAIN"}
	}
	var all []amqp.Authentication
	for _, way := range ways {
		switch strings.ToUpper(way) {
		case "PLAIN":
			all = append(all, login{uri.PlainAuth(), properties})
		case "AMQPLAIN":
			all = append(all, login{uri.AMQPlainAuth(), properties})
		case "EXTERNAL":
			all = append(all, login{&amqp.ExternalAuth{}, properties})
		}
	}
	return all
}

// login is a way to log in after which the broker says why it refuses one.
// Without authentication_failure_close it only drops the connection, and a
// wrong password cannot be told from a broker that is going down. The client
// sets the capabilities, and asks for the response just behind that.
type login struct {
	amqp.Authentication
	properties amqp.Table
}

func (l login) Response() string {
	if capabilities, ok := l.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return l.Authentication.Response()
}
