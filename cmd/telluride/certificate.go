package main

import (
	"crypto/tls"
	"io/fs"
	"log/slog"
	"os"
	"sync"
)

// certificate is a certificate in two files, which may be replaced while it is
// served: whoever connects gets what they hold then. Files that do not fit
// each other, as they are half way through being replaced, change nothing.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	pair *tls.Certificate
	seen [2]fs.FileInfo // the files, when they were read last
}

// openCertificate reads the files.
func openCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	seen, err := c.look()
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	c.pair, c.seen = &pair, seen
	return c, nil
}

// config is for a server. It looks at the files whenever somebody connects.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return c.current(), nil
	}}
}

// look is what is known of the files. It is to be asked before they are read:
// what is written meanwhile is then noticed by the next look.
func (c *certificate) look() (seen [2]fs.FileInfo, err error) {
	for i, file := range []string{c.cert, c.key} {
		if seen[i], err = os.Stat(file); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.look()
	if err != nil || same(seen[0], c.seen[0]) && same(seen[1], c.seen[1]) {
		return c.pair // also while one is away: the next look will tell
	}
	c.seen = seen
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		c.log.Warn("the certificate was changed and cannot be used; the one before goes on", "file", c.cert, "error", err)
		return c.pair
	}
	c.pair = &pair
	c.log.Info("the certificate was replaced", "file", c.cert, "valid_until", pair.Leaf.NotAfter)
	return c.pair
}

// same says that a file was not changed.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
