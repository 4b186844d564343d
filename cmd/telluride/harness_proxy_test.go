package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy is a way to the broker that can be cut.
type proxy struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, to: to, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(in) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.sever()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) address() (host string, port int) {
	at := p.listener.Addr().(*net.TCPAddr)
	return at.IP.String(), at.Port
}

func (p *proxy) serve(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	p.keep(in, out)
	defer p.forget(in, out)
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // either end may go at any time
		to.Close()
		from.Close()
	}
	wg.Go(func() { pass(out, in) })
	pass(in, out)
	wg.Wait()
}

func (p *proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// sever resets every connection: what is on its way in the buffers is gone.
func (p *proxy) sever() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	return len(p.conns) / 2
}
