package rabbitmq

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages/rabbitmq/brokertest"
)

// TestANodeOfItsOwn is what needs a broker that may be disturbed. Its parts
// share the node, since a node takes seconds to start.
func TestANodeOfItsOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a broker")
	}
	right, wrong := newAuthority(t, "right"), newAuthority(t, "wrong")
	cert, key := right.issue("localhost")
	node := brokertest.Start(t, brokertest.Options{TLS: &brokertest.TLSFiles{CA: right.file, Cert: cert, Key: key, Verify: true}})
	b := brokerAt(t, node.URL())
	t.Run("TLS", func(t *testing.T) { handshakes(t, b.of(t), node, right, wrong) })
	t.Run("a memory alarm blocks a sink and loses nothing", func(t *testing.T) { alarms(t, b.of(t), node) })
	t.Run("a restart ends sessions and loses nothing", func(t *testing.T) { restarts(t, b.of(t), node) })
}

// brokerAt is a broker at a URL.
func brokerAt(t *testing.T, url string) *broker {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	return connected(t, url, conn)
}

// of is the broker for a part of a test.
func (b *broker) of(t *testing.T) *broker {
	part := *b
	part.t = t
	return &part
}

func handshakes(t *testing.T, b *broker, node *brokertest.Node, right, wrong *authority) {
	cert, key := right.issue("client")
	strange, strangeKey := wrong.issue("client")
	queue := b.queue(nil)
	for _, c := range []struct{ what, tls, want string }{
		{"the right authority and certificate", fmt.Sprintf("{ca: %q, cert: %q, key: %q}", right.file, cert, key), ""},
		{"another authority", fmt.Sprintf("{ca: %q, cert: %q, key: %q}", wrong.file, cert, key), "see the key tls"},
		{"the system's authorities", fmt.Sprintf("{cert: %q, key: %q}", cert, key), "see the key tls"},
		{"another name", fmt.Sprintf("{ca: %q, cert: %q, key: %q, server_name: other}", right.file, cert, key), "see the key tls"},
		{"no certificate", fmt.Sprintf("{ca: %q}", right.file), "tls: cert and key"},
		{"a certificate of another authority", fmt.Sprintf("{ca: %q, cert: %q, key: %q}", right.file, strange, strangeKey), "tls: cert and key"},
	} {
		keys := fmt.Sprintf("url: %q, tls: %s, queue: %s", node.TLSURL(), c.tls, queue)
		t.Run(c.what, func(t *testing.T) {
			b := b.of(t)
			source, sink := b.source(keys), b.sink(keys)
			opened := final(func() error { return sink.Open(t.Context()) }, func(err error) bool { return !stage.IsPermanent(err) })
			read := final(func() error { return source.Open(t.Context(), nil) }, stage.IsTransient)
			if c.want == "" {
				if opened != nil || read != nil {
					t.Fatalf("got %v and %v", opened, read)
				}
				sink.write(numbered(1)...)
				sink.mustFlush()
				if got := source.read(1); got[0].body != `{"n":1}` {
					t.Errorf("got %s", got[0].body)
				}
				source.settle(1)
				return
			}
			for _, err := range []error{opened, read} {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "guest:guest") {
					t.Errorf("got %v, want %q", err, c.want)
				}
			}
		})
	}
}

// final tries until it is told something that waiting does not cure. Why a
// broker ends a handshake may get lost together with the connection.
func final(open func() error, waiting func(error) bool) (err error) {
	for range 100 {
		if err = open(); err == nil || !waiting(err) {
			break
		}
	}
	return err
}

func alarms(t *testing.T, b *broker, node *brokertest.Node) {
	in, out := b.queue(nil), b.queue(nil)
	b.publish(in, 3)
	source := b.source("queue: " + in).open(nil)
	sink := b.sink("confirm_timeout: 1s, queue: " + out).open()
	sink.write(numbered(1)...)
	sink.mustFlush()
	defer node.Alarm(false) // also for what comes after a failure
	for n := range 2 {
		node.Alarm(true)
		// The broker says so once it is asked to take something.
		_, err := sink.Write(t.Context(), sink.records(`{"n":2}`))
		if err == nil {
			err = sink.flush()
		}
		if err == nil || stage.IsPermanent(err) {
			t.Fatalf("a blocked sink: got %v", err)
		}
		eventually(t, "the alarm is told", func() bool { return sink.log.count("takes no messages") > n })
		node.Alarm(false)
		eventually(t, "a flush", func() bool { return sink.flush() == nil })
		eventually(t, "its end is told", func() bool { return sink.log.count("takes messages again") > n })
	}
	if blocked, free := sink.log.count("takes no messages"), sink.log.count("takes messages again"); blocked != 2 || free != 2 {
		t.Errorf("%d and %d lines about two alarms:\n%s", blocked, free, sink.log)
	}
	if got := sink.log.count("connection lost"); got != 0 {
		t.Errorf("%d connections lost:\n%s", got, sink.log)
	}
	seen := bodies(b.drained(out))
	if !strings.Contains(seen, `{"n":1}`) || !strings.Contains(seen, `{"n":2}`) {
		t.Errorf("got %s", seen)
	}
	// Who only consumes goes on, and may acknowledge.
	node.Alarm(true)
	source.read(3)
	source.settle(3)
	node.Alarm(false)
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if n := b.ready(in); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func restarts(t *testing.T, b *broker, node *brokertest.Node) {
	in, out := b.queue(nil), b.queue(nil)
	b.publish(in, 5)
	source, sink := b.source("queue: "+in).open(nil), b.sink("queue: "+out).open()
	source.read(5)
	source.settle(2)
	sink.write(numbered(3)...)
	sink.mustFlush()
	node.Stop()
	if err := source.failure(); !stage.IsTransient(err) {
		t.Errorf("not transient: %v", err)
	}
	if n, err := sink.Write(t.Context(), sink.records(`{"n":4}`)); n != 0 || err == nil || stage.IsPermanent(err) {
		t.Errorf("wrote %d without a broker: %v", n, err)
	}
	if err := source.Open(t.Context(), nil); !stage.IsTransient(err) {
		t.Errorf("open without a broker: %v", err)
	}
	node.Boot()
	*b = *brokerAt(t, node.URL())
	sink.write(`{"n":4}`)
	sink.mustFlush()
	if have := bodies(b.drained(out)); have != `{"n":1} {"n":2} {"n":3} {"n":4}` {
		t.Errorf("got %s", have)
	}
	source.open(nil)
	again := source.read(3)
	if again[0].body != `{"n":3}` || !again[0].redelivered {
		t.Errorf("got %+v", again[0])
	}
	source.settle(3)
}

// authority issues certificates.
type authority struct {
	t    *testing.T
	file string // its own certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t *testing.T, name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, next: 1}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.file = a.sign(name, a.cert, &key.PublicKey)
	return a
}

// issue makes a certificate for a name, and its key.
func (a *authority) issue(name string) (cert, key string) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.next++
	cert = a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &own.PublicKey)
	der, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, a.write(name, "EC PRIVATE KEY", der)
}

func (a *authority) sign(name string, c *x509.Certificate, key *ecdsa.PublicKey) string {
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name, "CERTIFICATE", der)
}

func (a *authority) write(name, kind string, der []byte) string {
	file := filepath.Join(a.t.TempDir(), name+".pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}
