package deadletter

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/record"
)

// Format is the version of the envelope. A reader refuses a later one.
const Format = 1

// Letter is a record that could not be processed, and what is known of it.
type Letter struct {
	// ID is the same whenever the same record dies in the same place, so that
	// repeats can be told: see [NewID].
	ID      string
	Time    time.Time // when it died
	Flow    string
	Version string // of the flow
	Stage   string
	Reason  string
	// Attempts is how often the record was tried, replays included; 1 for a
	// record that died at once.
	Attempts int
	Source   string // the name of the source
	// File, Line and Offset say where the record stood; File "" and a negative
	// number: unknown. A message of a stream has an Offset alone.
	File         string
	Line, Offset int64
	// Meta is what else the source knew, a JSON object; nil: nothing.
	Meta []byte
	// Payload is the record as it was before the stage that refused it. Of a
	// record that no stage had changed it is what came, byte for byte.
	Payload []byte

	// What follows is not written.

	// Vague says that the id does not tell the letter from others like it.
	Vague bool
	// At is what its store finds it by.
	At any
}

// NewID is the id of a letter. identity is what its source can tell the record
// by: a message id, or a place in a file. Without one the caller has to pass
// what is unique, since two records with one payload are two letters.
func NewID(flow, source, identity, stage string, attempts int, payload []byte) string {
	h := sha256.New()
	var n [binary.MaxVarintLen64]byte
	for _, part := range []string{flow, source, identity, stage} {
		h.Write(n[:binary.PutUvarint(n[:], uint64(len(part)))])
		h.Write([]byte(part))
	}
	h.Write(n[:binary.PutUvarint(n[:], uint64(attempts))])
	h.Write(payload)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// AppendJSON writes the envelope as one JSON object, without line end. What is
// not known is left out.
func (l *Letter) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"letter":1`...)
	text := func(key, value string) {
		if value != "" {
			dst = append(append(append(dst, `,"`...), key...), `":`...)
			dst = record.AppendValue(dst, record.StringValue(value))
		}
	}
	number := func(key string, n int64) {
		if n >= 0 {
			dst = append(append(append(dst, `,"`...), key...), `":`...)
			dst = record.AppendValue(dst, record.IntValue(n))
		}
	}
	text("id", l.ID)
	dst = append(dst, `,"time":"`...)
	dst = append(record.AppendTime(dst, l.Time.UnixNano()), '"')
	text("flow", l.Flow)
	text("version", l.Version)
	text("stage", l.Stage)
	text("reason", l.Reason)
	number("attempts", int64(max(l.Attempts, 1)))
	text("source", l.Source)
	text("file", l.File)
	number("line", l.Line)
	number("offset", l.Offset)
	if len(l.Meta) > len("{}") {
		dst = append(append(dst, `,"meta":`...), l.Meta...)
	}
	if utf8.Valid(l.Payload) {
		dst = append(dst, `,"payload":`...)
		dst = record.AppendValue(dst, record.StringValue(string(l.Payload)))
	} else {
		dst = append(dst, `,"payload_base64":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, l.Payload), '"')
	}
	return append(dst, '}')
}

// MarshalJSON is [Letter.AppendJSON].
func (l *Letter) MarshalJSON() ([]byte, error) { return l.AppendJSON(nil), nil }

// ErrNoLetter says that a text is no dead letter.
var ErrNoLetter = errors.New("not a dead letter")

// Parse reads an envelope.
func Parse(text []byte) (*Letter, error) {
	var e struct {
		Letter   *int            `json:"letter"`
		ID       string          `json:"id"`
		Time     time.Time       `json:"time"`
		Flow     string          `json:"flow"`
		Version  string          `json:"version"`
		Stage    string          `json:"stage"`
		Reason   string          `json:"reason"`
		Attempts int             `json:"attempts"`
		Source   string          `json:"source"`
		File     string          `json:"file"`
		Line     *int64          `json:"line"`
		Offset   *int64          `json:"offset"`
		Meta     json.RawMessage `json:"meta"`
		Payload  *string         `json:"payload"`
		Base64   []byte          `json:"payload_base64"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLetter, err)
	}
	switch {
	case e.Letter == nil:
		return nil, fmt.Errorf("%w: it has no field letter", ErrNoLetter)
	case *e.Letter > Format:
		return nil, fmt.Errorf("%w of a format that is known here: it is format %d, and this version knows 1 to %d", ErrNoLetter, *e.Letter, Format)
	case *e.Letter < 1 || e.ID == "" || e.Payload == nil && e.Base64 == nil:
		return nil, fmt.Errorf("%w: it lacks an id or a payload", ErrNoLetter)
	}
	l := &Letter{
		ID: e.ID, Time: e.Time, Flow: e.Flow, Version: e.Version, Stage: e.Stage, Reason: e.Reason, Attempts: max(e.Attempts, 1),
		Source: e.Source, File: e.File, Line: -1, Offset: -1, Payload: e.Base64,
	}
	if e.Payload != nil {
		l.Payload = []byte(*e.Payload)
	}
	if e.Line != nil {
		l.Line = *e.Line
	}
	if e.Offset != nil {
		l.Offset = *e.Offset
	}
	if meta := bytes.TrimSpace(e.Meta); len(meta) > 0 && meta[0] == '{' {
		l.Meta = bytes.Clone(meta)
	}
	return l, nil
}
