package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/conf"
)

const defaultURL = "amqp://guest:guest@localhost:5672/"

// target is the broker, or the nodes of a cluster, that a stage connects to.
type target struct {
	urls      []string // never shown: they hold passwords
	tls       tlsFiles
	heartbeat time.Duration
	timeout   time.Duration

	// last is the node that was tried last. It outlives sessions, so that a
	// new one begins at the node behind the one that was lost.
	last *atomic.Int32
}

// tlsFiles name what a TLS connection is checked by.
type tlsFiles struct {
	given                 bool
	ca, cert, key, server string
}

func (t *target) bind(f *conf.Fields) {
	var one string
	t.last = new(atomic.Int32)
	f.Secret(&one, "url", "", "The broker: `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. Special characters in user, password and vhost are percent-encoded (`@` is `%40`, `/` is `%2F`). Default: guest at localhost.")
	f.Strings(&t.urls, "urls", nil, "The nodes of a cluster, instead of url: they are tried in this order, and after a lost connection the next one first.").NotEmpty()
	f.Conflict("url", "urls")
	if !f.Given("urls") {
		if one == "" {
			one = defaultURL
		}
		t.urls = []string{one}
	}
	t.tls.given = f.Object("tls", "The certificates of an `amqps://` connection. Without it, the system's authorities are trusted.", func(f *conf.Fields) {
		f.String(&t.tls.ca, "ca", "", "A file of authorities (PEM) that the broker's certificate is checked by, instead of the system's.")
		f.String(&t.tls.cert, "cert", "", "The file of the client's certificate (PEM), for a broker that asks for one. Needs key.")
		f.String(&t.tls.key, "key", "", "The file of the client certificate's key (PEM).")
		f.String(&t.tls.server, "server_name", "", "The name that the broker's certificate must carry. Default: the host of the URL.")
		f.Check(func() (message, advice string) {
			if (t.tls.cert == "") != (t.tls.key == "") {
				return "cert and key belong together", "give both, or neither"
			}
			return "", ""
		})
	}).Present()
	f.Duration(&t.heartbeat, "heartbeat", 10*time.Second, "How often broker and client show each other that they live. A connection that is silent for longer than twice this is lost.").Min(time.Second).Max(time.Hour)
	f.Duration(&t.timeout, "connect_timeout", 10*time.Second, "How long one attempt to connect may take, login and declarations included.").Min(100 * time.Millisecond)
	f.Check(t.check)
}

// check says what is wrong with the URLs, without ever repeating one.
func (t *target) check() (message, advice string) {
	for i, raw := range t.urls {
		which := "url"
		if len(t.urls) > 1 {
			which = fmt.Sprintf("urls: the one at position %d", i+1)
		}
		uri, err := amqp.ParseURI(raw)
		switch {
		case strings.Contains(raw, "://") && !strings.HasPrefix(raw, "amqp://") && !strings.HasPrefix(raw, "amqps://"):
			return which + " is neither amqp:// nor amqps://", "such as amqp://user:password@host:5672/vhost"
		case err != nil:
			// The text of the error may hold a part of the password.
			return which + " is not a valid AMQP URL", "write amqp://user:password@host:5672/vhost; percent-encode special characters in user and password"
		case t.tls.given && uri.Scheme != "amqps":
			return which + " is not encrypted, and tls is given", "write amqps://, or remove tls"
		}
	}
	return "", ""
}

// show is a URL without its secrets: scheme, host and vhost.
func show(raw string) string {
	uri, err := amqp.ParseURI(raw)
	if err != nil {
		return "the broker"
	}
	vhost := "/"
	if uri.Vhost != "/" {
		vhost += url.PathEscape(uri.Vhost)
	}
	return fmt.Sprintf("%s://%s:%d%s", uri.Scheme, uri.Host, uri.Port, vhost)
}

// config is the TLS configuration that the files say; nil leaves it to the URL.
func (t tlsFiles) config() (*tls.Config, error) {
	if !t.given {
		return nil, nil
	}
	c := &tls.Config{ServerName: t.server, MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("tls: ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: ca: %s holds no certificate in PEM form", t.ca)
		}
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("tls: cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// untrusted says whether a handshake failed for a reason that stays.
func untrusted(err error) bool {
	var verify *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &noTLS) || errors.As(err, &authority) || errors.As(err, &host)
}
