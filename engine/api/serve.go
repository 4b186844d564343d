package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	// writeTimeout is more than the 30 s that a CPU profile takes by default.
	writeTimeout = time.Minute
	idleTimeout  = 2 * time.Minute
	// shutdownTimeout is how long answers may take that have begun when the
	// server is told to end.
	shutdownTimeout = 2 * time.Second
	// maxConnections bounds the connections that are open at a time: further
	// ones wait.
	maxConnections = 256
	// maxPath is how long the path of a socket may be, on the system that
	// allows the least (BSD: 104 with the zero at its end).
	maxPath = 103
)

// ErrInUse says that another process answers on a socket.
var ErrInUse = errors.New("another process answers there")

// Listen listens on a unix socket that only this user may connect to. A socket
// that nobody answers on is replaced. The caller sees to it that no other
// process listens there at the same moment.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("socket %s: the path has %d bytes, and may have %d", path, len(path), maxPath)
	}
	ln, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, fmt.Errorf("socket %s: %w", path, err)
		}
		ln, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return ln, nil
}

// removeStale removes the socket of a process that was killed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return errors.New("there is a file of that name")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return errors.Join(ErrInUse, err)
}

// Serve serves on ln until ctx is done; it closes ln. Requests that wait for a
// receipt are then answered as those of a process that ends.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 16 << 10,
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err := s.Shutdown(ctx)
		if err != nil {
			err = s.Close()
		}
		stopped <- err
	})
	err := s.Serve(&bounded{Listener: ln, free: make(chan struct{}, maxConnections)})
	if stop() {
		return fmt.Errorf("serve %s: %w", ln.Addr(), errors.Join(err, s.Close()))
	}
	return <-stopped
}
