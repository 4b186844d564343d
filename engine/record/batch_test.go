package record

import (
	"testing"
	"unsafe"
)

func batchOf(t testing.TB, l *Layout, docs ...string) *Batch {
	t.Helper()
	b, p := NewBatch(len(docs)), NewProjector(l)
	for _, doc := range docs {
		r := Record{Payload: b.Arena().Bytes(len(doc)), Fields: b.Arena().Values(l.Len())}
		copy(r.Payload, doc)
		if err := p.Project(r.Payload, r.Fields); err != nil {
			t.Fatal(err)
		}
		b.Append(r)
	}
	return b
}

func TestClonesOfABatchAreIndependent(t *testing.T) {
	l := layoutOf(t, "a")
	b := batchOf(t, l, `{"a":"one"}`, `{"a":"two"}`)
	b.Side = []Side{{Record: b.Records[0], Reason: "x"}}
	c := b.Clone()
	b.Records[0].Set(0, StringValue("changed"), l.Len())
	b.Side[0].Record.Fields[0] = Value{}
	b.Append(b.Records[0])
	b.Release()
	// The memory of b would be written over here, if it were free.
	for range 100 {
		other := batchOf(t, l, `{"a":"xxx"}`, `{"a":"xxx"}`)
		other.Release()
	}
	if len(c.Records) != 2 || c.Records[0].Field(0).Str() != "one" || c.Records[1].Field(0).Str() != "two" ||
		c.Side[0].Record.Field(0).Str() != "one" || string(AppendJSON(nil, &c.Records[1])) != `{"a":"two"}` {
		t.Errorf("the clone changed: %v", c.Records)
	}
	c.Release()
	c.Release() // nothing happens
}

// A batch that only shares memory must not take memory from it: the owner
// may do so at the same time.
func TestASharedArenaIsNotTheBatchesOwn(t *testing.T) {
	l := layoutOf(t, "a")
	owner := batchOf(t, l, `{"a":"one"}`)
	var sharer Batch
	sharer.Share(owner)
	if sharer.Arena() == owner.Arena() {
		t.Fatal("two batches own one arena")
	}
	sharer.Append(owner.Records[0])
	owner.Release()
	if got := sharer.Records[0].Field(0).Str(); got != "one" {
		t.Errorf("got %q", got)
	}
	sharer.Release()
}

func TestAClonedRecordHasMemoryOfItsOwn(t *testing.T) {
	l := layoutOf(t, "a", "b", "c", "d")
	b := batchOf(t, l, `{"a":"one","b":1.50,"c":[1]}`)
	b.Records[0].Set(3, StringValue(string([]byte("made"))), l.Len())
	b.Records[0].Key = `"one"`
	c := b.Records[0].Clone()
	payload := c.Payload
	clear(b.Records[0].Payload)
	b.Release()
	if c.Field(0).Str() != "one" || c.Field(1).Text() != "1.50" || c.Field(2).JSON() != "[1]" || c.Field(3).Str() != "made" ||
		string(c.Payload) != `{"a":"one","b":1.50,"c":[1]}` || c.Key != `"one"` {
		t.Errorf("the clone changed: %v", c)
	}
	// What was a part of the payload is a part of its copy, not a copy more.
	if got := unsafe.StringData(c.Field(0).Str()); got != &payload[6] {
		t.Error("a field of the clone is not a part of its payload")
	}
}

func TestArenasGiveMemoryBesidesTheFormer(t *testing.T) {
	a := NewArena()
	x, y := a.Bytes(10), a.Bytes(100_000)
	z := a.Bytes(10)
	for i, b := range [][]byte{x, y, z} {
		for j := range b {
			b[j] = byte(i)
		}
	}
	if x[9] != 0 || y[0] != 1 || y[99_999] != 1 || z[0] != 2 || cap(x) != 10 {
		t.Error("memory was given twice")
	}
	v, w := a.Values(3), a.Values(2000)
	v[2], w[0] = IntValue(1), IntValue(2)
	if v[2].Int() != 1 || w[1999].Kind() != Missing {
		t.Error("values were given twice")
	}
	(&Batch{}).Own(a)
}
