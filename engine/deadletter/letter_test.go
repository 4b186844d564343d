package deadletter_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/deadletter"
)

func letters() *rapid.Generator[deadletter.Letter] {
	return rapid.Custom(func(t *rapid.T) deadletter.Letter {
		l := deadletter.Letter{
			ID: rapid.StringMatching(`[0-9a-f]{24}`).Draw(t, "id"), Time: time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "time")).UTC(),
			Flow: rapid.String().Draw(t, "flow"), Version: rapid.String().Draw(t, "version"), Stage: rapid.String().Draw(t, "stage"),
			Reason: rapid.String().Draw(t, "reason"), Attempts: rapid.IntRange(1, 9).Draw(t, "attempts"), Source: rapid.String().Draw(t, "source"),
			File: rapid.String().Draw(t, "file"), Line: rapid.Int64Min(-1).Draw(t, "line"), Offset: rapid.Int64Min(-1).Draw(t, "offset"),
			Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
		}
		if rapid.Bool().Draw(t, "text") {
			l.Payload = []byte(rapid.String().Draw(t, "payload text"))
		}
		if rapid.Bool().Draw(t, "meta") {
			l.Meta, _ = json.Marshal(map[string]string{"routing_key": rapid.String().Draw(t, "key")})
		}
		return l
	})
}

func TestAnEnvelopeReadsAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := letters().Draw(t, "letter")
		text := want.AppendJSON(nil)
		if !json.Valid(text) || strings.ContainsRune(string(text), '\n') {
			t.Fatalf("not one line of JSON: %q", text)
		}
		got, err := deadletter.Parse(text)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if len(got.Payload) == 0 && len(want.Payload) == 0 {
			got.Payload, want.Payload = nil, nil
		}
		if !reflect.DeepEqual(*got, want) {
			t.Fatalf("%+v became %+v", want, *got)
		}
	})
}

func TestWhatIsNoLetterIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		`{"reading": 1}`: "no field letter",
		`{"letter": 2, "id": "a", "payload": ""}`:     "this version knows 1 to 1",
		`{"letter": 1, "payload": ""}`:                "lacks an id",
		`{"letter": 1, "id": "a"}`:                    "or a payload",
		`{"letter": 1, "id": "a", "payload": "{\"re`:  "unexpected end",
		`{"letter": 1, "id": 7, "payload": "", "a":}`: "invalid character",
		``: "unexpected end",
	} {
		_, err := deadletter.Parse([]byte(text))
		if !errors.Is(err, deadletter.ErrNoLetter) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %q", text, err, says)
		}
	}
}

func TestAnIDTellsRecordsApart(t *testing.T) {
	id := deadletter.NewID("f", "s", "m1", "w", 1, []byte("{}"))
	if again := deadletter.NewID("f", "s", "m1", "w", 1, []byte("{}")); again != id {
		t.Errorf("%s is called %s the second time", id, again)
	}
	for _, other := range []string{
		deadletter.NewID("g", "s", "m1", "w", 1, []byte("{}")), deadletter.NewID("f", "t", "m1", "w", 1, []byte("{}")),
		deadletter.NewID("f", "s", "m2", "w", 1, []byte("{}")), deadletter.NewID("f", "s", "m1", "x", 1, []byte("{}")),
		deadletter.NewID("f", "s", "m1", "w", 2, []byte("{}")), deadletter.NewID("f", "s", "m1", "w", 1, []byte("[]")),
		deadletter.NewID("fs", "", "m1", "w", 1, []byte("{}")),
	} {
		if other == id {
			t.Errorf("two records are called %s", id)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"letter":1,"id":"a","time":"2026-01-01T00:00:00Z","payload":"x"}`))
	f.Add([]byte(`{"letter":1,"id":"a","payload_base64":"AA==","meta":{"queue":"q"},"line":3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := deadletter.Parse(text)
		if err != nil {
			return
		}
		if _, err := deadletter.Parse(l.AppendJSON(nil)); err != nil {
			t.Fatalf("%s is read, but not what is written of it: %v", text, err)
		}
	})
}
