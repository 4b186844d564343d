package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Lines is a [Target] that writes the payloads to a file, one a line, for a
// source that reads it. How often a record was tried does not go with it.
type Lines struct {
	to    io.Writer
	file  *os.File // nil: to is not ours
	lines []byte
}

var _ Target = (*Lines)(nil)

// NewLines writes to w.
func NewLines(w io.Writer) *Lines { return &Lines{to: w} }

// OpenLines appends to a file, which is made when it is not there.
func OpenLines(path string) (*Lines, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Lines{to: f, file: f}, nil
}

// Send writes letters, all or none of them, and to a file so that they outlive
// a power cut. A payload of several lines that is no JSON cannot be written.
func (t *Lines) Send(_ context.Context, letters []*Letter) (int, error) {
	t.lines = t.lines[:0]
	for _, l := range letters {
		line := l.Payload
		if bytes.ContainsAny(line, "\r\n") {
			var one bytes.Buffer
			if err := json.Compact(&one, line); err != nil {
				return 0, fmt.Errorf("letter %s has several lines and is no JSON, so it cannot be a line", l.ID)
			}
			line = one.Bytes()
		}
		t.lines = append(append(t.lines, line...), '\n')
	}
	if _, err := t.to.Write(t.lines); err != nil {
		return 0, err
	}
	if t.file != nil {
		if err := t.file.Sync(); err != nil {
			return 0, err
		}
	}
	return len(letters), nil
}

// Close closes the file.
func (t *Lines) Close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
