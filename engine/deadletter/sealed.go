package deadletter

import "github.com/telluride-stream/telluride/engine/record"

// Sealed is the Meta of a record that is an envelope: a sink that has another
// place for what the envelope says (a broker's headers) writes Original
// instead. To expressions it gives the facts of the letter: meta.stage,
// meta.reason, meta.flow, meta.source, meta.attempts and meta.letter_id.
type Sealed struct {
	Letter Letter
	// Original is the record as it died; its Payload is the letter's.
	Original record.Record
}

var _ record.Meta = (*Sealed)(nil)

// Lookup knows the facts of the letter, and what was known of the record.
func (s *Sealed) Lookup(path record.Path, _ uint64) record.Value {
	if len(path) == 1 {
		switch path[0].Key {
		case "flow":
			return record.StringValue(s.Letter.Flow)
		case "stage":
			return record.StringValue(s.Letter.Stage)
		case "reason":
			return record.StringValue(s.Letter.Reason)
		case "source":
			return record.StringValue(s.Letter.Source)
		case "attempts":
			return record.IntValue(int64(s.Letter.Attempts))
		case "letter_id":
			return record.StringValue(s.Letter.ID)
		}
	}
	if s.Original.Meta == nil {
		return record.Value{}
	}
	return s.Original.Meta.Lookup(path, s.Original.Origin.Seq)
}
