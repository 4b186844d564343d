package rabbitmq

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wire is the socket of a connection, as the client sees it. The client sends
// every message with a system call of its own, reads little at a time, and
// moves the read deadline with every frame; here that becomes cheap.
type wire struct {
	net.Conn
	in       *bufio.Reader // for one Read at a time, as the client does
	steady   bool          // what comes now comes steadily, in small pieces
	deadline atomic.Int64  // for reading, Unix nanoseconds; 0: none

	mu     sync.Mutex // guards what is below, and the order of what is sent
	corked bool
	out    []byte // written by the client, and not sent yet
	failed error  // of sending: what came behind it would make no sense
}

const (
	wireIn  = 32 << 10
	wireOut = 64 << 10
	// A broker with much to send does so in pieces of about 1,400 bytes.
	wirePiece = 1 << 10
	gather    = 500 * time.Microsecond
	// wireSlack is by how much a read deadline may come too early. It is a
	// small part of the heartbeats that it is made of.
	wireSlack = 100 * time.Millisecond
)

func newWire(c net.Conn) *wire {
	return &wire{Conn: c, in: bufio.NewReaderSize(c, wireIn)}
}

// Read reads ahead. While much comes in small pieces it waits for more of
// them: waking up for each piece costs more, here and at the broker, than what
// is in it.
func (w *wire) Read(b []byte) (int, error) {
	if w.in.Buffered() > 0 {
		return w.in.Read(b)
	}
	if w.steady {
		time.Sleep(gather)
	}
	start := time.Now()
	n, err := w.in.Read(b)
	got := n + w.in.Buffered()
	w.steady = got >= wirePiece && got < wireIn/2 && time.Since(start) < gather
	return n, err
}

// Write sends b, or keeps it while the wire is corked. The error of what was
// kept comes with a later Write, or with uncork.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.corked && w.failed == nil {
		return w.Conn.Write(b)
	}
	w.out = append(w.out, b...)
	if len(w.out) < wireOut {
		return len(b), nil
	}
	return len(b), w.send()
}

// cork has writes wait until they are many, or uncork. It is for a moment in
// which nothing else is waited for: heartbeats wait too.
func (w *wire) cork() {
	w.mu.Lock()
	w.corked = true
	w.mu.Unlock()
}

// uncork sends what waits, and lets writes no longer wait.
func (w *wire) uncork() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	return w.send()
}

// send sends what waits. The caller holds mu.
func (w *wire) send() error {
	if len(w.out) == 0 || w.failed != nil {
		return w.failed
	}
	_, w.failed = w.Conn.Write(w.out)
	w.out = w.out[:0]
	return w.failed
}

// SetReadDeadline moves the deadline when that makes a difference.
func (w *wire) SetReadDeadline(t time.Time) error {
	to := int64(0)
	if !t.IsZero() {
		to = t.UnixNano()
	}
	if by := to - w.deadline.Load(); by >= 0 && by < int64(wireSlack) {
		return nil
	}
	w.deadline.Store(to)
	return w.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (w *wire) SetDeadline(t time.Time) error {
	w.deadline.Store(0)
	if !t.IsZero() {
		w.deadline.Store(t.UnixNano())
	}
	return w.Conn.SetDeadline(t)
}
