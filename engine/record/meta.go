package record

// Describer is a Meta that can write down all that it knows.
type Describer interface {
	Meta
	// AppendMeta writes what is known of a record as a JSON object. A
	// [SavedMeta] of it answers every Lookup alike.
	AppendMeta(dst []byte, seq uint64) []byte
}

// SavedMeta is a Meta that was written down: the text of a JSON object.
type SavedMeta string

var _ Describer = SavedMeta("")

// Lookup reads a path of the object.
func (m SavedMeta) Lookup(path Path, _ uint64) Value {
	if m == "" || len(path) == 0 {
		return Value{}
	}
	return ProjectValue(string(m), path)
}

// AppendMeta writes the object itself.
func (m SavedMeta) AppendMeta(dst []byte, _ uint64) []byte {
	if m == "" {
		return append(dst, "{}"...)
	}
	return append(dst, m...)
}

// AppendMeta writes what m knows of a record as a JSON object. Of a Meta that
// is no [Describer] that is the message id, if it has one.
func AppendMeta(dst []byte, m Meta, seq uint64) []byte {
	if d, ok := m.(Describer); ok {
		return d.AppendMeta(dst, seq)
	}
	dst = append(dst, '{')
	if m != nil {
		if id := m.Lookup(Path{{Key: "message_id"}}, seq); !id.IsNil() {
			dst = AppendValue(append(dst, `"message_id":`...), id)
		}
	}
	return append(dst, '}')
}
