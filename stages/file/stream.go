package file

import (
	"context"
	"io"
)

// stream reads what may block for ever and cannot go back: standard input,
// named pipes, devices. Each read of it runs in a goroutine of its own, which
// nothing can interrupt: when a flow ends while it waits, it stays until
// something arrives or the writer closes, or the program exits. What arrives
// then is kept for the next read, also across Close and Open of the source.
type stream struct {
	open    func() (io.Reader, error)
	reader  io.Reader
	buffer  []byte
	rest    []byte // of the last chunk
	err     error  // behind rest
	waiting chan chunk
	total   int64
}

type chunk struct {
	n   int
	err error
}

func newStream(open func() (io.Reader, error)) *stream { return &stream{open: open} }

// read returns what there is, at once if something was left over. It ends
// with the context.
func (s *stream) read(ctx context.Context, b []byte) (int, error) {
	if len(s.rest) == 0 && s.err == nil {
		if err := s.wait(ctx); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	s.total += int64(n)
	if len(s.rest) > 0 {
		return n, nil
	}
	return n, s.err
}

func (s *stream) wait(ctx context.Context) error {
	if s.waiting == nil {
		s.waiting = make(chan chunk, 1)
		go s.once(s.waiting)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case c := <-s.waiting:
		s.waiting = nil
		s.rest, s.err = s.buffer[:c.n], c.err
		return nil
	}
}

// once reads once. Until it has answered, the reader and the buffer are its own.
func (s *stream) once(answer chan<- chunk) {
	if s.reader == nil {
		reader, err := s.open()
		if err != nil {
			answer <- chunk{err: err}
			return
		}
		s.reader, s.buffer = reader, make([]byte, blockSize)
	}
	n, err := s.reader.Read(s.buffer)
	answer <- chunk{n, err}
}

func (s *stream) seen() int64  { return s.total }
func (s *stream) size() int64  { return 0 }
func (s *stream) Close() error { return nil }
