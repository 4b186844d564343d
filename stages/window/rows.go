package window

import (
	"encoding/binary"
	"math/bits"
)

// rows keeps what an operator knows of many keys: a row of bytes each, without
// pointers, found by key with open addressing and linear probing. A million
// keys are a few thousand objects for the garbage collector, and grow without
// being copied.
type rows struct {
	packing packing
	at      int // where the packed cells of a row are
	stride  int // bytes of a row
	chunks  []chunk
	next    rowID   // the first that was never used
	free    []rowID // to be used again
	n       int     // keys

	// slots have the hash in their upper half, and in the lower one the row and
	// 1; an empty one is 0.
	slots []uint64
	shift uint8 // 32 - log2(len(slots))

	short   keyBytes
	long    map[rowID][]byte
	scratch []cell
	width   int // cells of a row
}

// rowID names a row until it is dropped.
type rowID uint32

// chunk is a run of rows.
type chunk struct {
	bytes []byte
	cells [][]cell // of rows that are not packed; nil: there is none
}

// chunkRows is many, so that little of a chunk's last page is not used. The
// first chunk grows up to there.
const (
	chunkRows = 4096
	firstRows = 64
)

// A row: where its key lies (4 bytes) and how long it is (2), flags (1), one
// byte that is not used, how many bytes a snapshot holds of it (4; 0: none
// does), then its numbers, and the packed cells.
const (
	rowKey    = 0
	rowLen    = 4
	rowFlags  = 6
	rowSaved  = 8
	rowSeq    = 12 // the records of the key that were taken
	rowLatest = 20 // the highest time of a record
	rowBorn   = 28 // the time of the first record; see identity
	rowSeen   = 36 // only of keys that expire: when the key had its last record
)

const longKey = 0xffff

const (
	flagLive    = 1 << iota
	flagWatched // it is in the queue of what may expire
	flagCells   // its cells are not packed
)

func newRows(set *aggregates, expire bool) rows {
	t := rows{packing: newPacking(set), at: rowSeen, scratch: make([]cell, len(set.cells)), width: len(set.cells)}
	if expire {
		t.at += 8
	}
	t.stride = t.at + t.packing.size
	return t
}

// spread spreads a hash once more (Knuth's multiplicative method): a lane
// holds only keys whose hashes are alike in some bits.
func spread(hash uint64) uint32 { return uint32(hash * 0x9E3779B97F4A7C15 >> 32) }

// row is the content of a row. It is the row itself, not a copy.
type row []byte

func (t *rows) row(id rowID) row {
	from := int(id%chunkRows) * t.stride
	return t.chunks[id/chunkRows].bytes[from : from+t.stride]
}

func (b row) get(at int) int64    { return int64(binary.LittleEndian.Uint64(b[at:])) }
func (b row) set(at int, n int64) { binary.LittleEndian.PutUint64(b[at:], uint64(n)) }

func (b row) saved() int64     { return int64(binary.LittleEndian.Uint32(b[rowSaved:])) }
func (b row) save(bytes int64) { binary.LittleEndian.PutUint32(b[rowSaved:], uint32(bytes)) }

func (b row) is(flag byte) bool { return b[rowFlags]&flag != 0 }

func (b row) flag(flag byte, on bool) {
	if on {
		b[rowFlags] |= flag
	} else {
		b[rowFlags] &^= flag
	}
}

// key is valid until the row is dropped.
func (t *rows) key(id rowID) []byte {
	b := t.row(id)
	n := int(binary.LittleEndian.Uint16(b[rowLen:]))
	if n == longKey {
		return t.long[id]
	}
	return t.short.bytes(keyRef(binary.LittleEndian.Uint32(b[rowKey:])), n)
}

func (t *rows) find(hash uint64, key string) (rowID, bool) {
	if t.n == 0 {
		return 0, false
	}
	h := spread(hash)
	for i := int(h >> t.shift); ; i = (i + 1) & (len(t.slots) - 1) {
		slot := t.slots[i]
		if slot == 0 {
			return 0, false
		}
		if id := rowID(slot) - 1; uint32(slot>>32) == h && string(t.key(id)) == key {
			return id, true
		}
	}
}

// add makes an empty row for a key that has none. It copies the key.
func (t *rows) add(hash uint64, key string) rowID {
	if 4*(t.n+1) > 3*len(t.slots) {
		t.grow()
	}
	var id rowID
	if n := len(t.free) - 1; n >= 0 {
		id, t.free = t.free[n], t.free[:n]
	} else {
		id = t.next
		t.next++
		t.reserve(id)
	}
	b := t.row(id)
	clear(b)
	b[rowFlags] = flagLive
	if len(key) > maxShort {
		if t.long == nil {
			t.long = map[rowID][]byte{}
		}
		t.long[id] = []byte(key)
		binary.LittleEndian.PutUint16(b[rowLen:], longKey)
	} else {
		binary.LittleEndian.PutUint32(b[rowKey:], uint32(t.short.add(key)))
		binary.LittleEndian.PutUint16(b[rowLen:], uint16(len(key)))
	}
	t.put(uint64(spread(hash))<<32 | uint64(id) + 1)
	t.n++
	return id
}

// reserve makes room for a row behind the last.
func (t *rows) reserve(id rowID) {
	if id%chunkRows == 0 {
		n := chunkRows
		if id == 0 {
			n = firstRows
		}
		t.chunks = append(t.chunks, chunk{bytes: make([]byte, n*t.stride)})
	} else if first := &t.chunks[0]; int(id) < chunkRows && int(id)*t.stride == len(first.bytes) {
		first.bytes = append(make([]byte, 0, 2*len(first.bytes)), first.bytes...)[:2*len(first.bytes)]
	}
}

func (t *rows) grow() {
	old := t.slots
	t.slots = make([]uint64, max(16, 2*len(old)))
	t.shift = uint8(32 - bits.TrailingZeros(uint(len(t.slots))))
	for _, slot := range old {
		if slot != 0 {
			t.put(slot)
		}
	}
}

func (t *rows) put(slot uint64) {
	i := int(slot >> 32 >> t.shift)
	for t.slots[i] != 0 {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = slot
}

// remove takes a row's key out of the table. The row itself stays, dead, until
// it is dropped.
func (t *rows) remove(id rowID, hash uint64) {
	mask := len(t.slots) - 1
	gap := int(spread(hash) >> t.shift)
	for rowID(t.slots[gap]) != id+1 {
		gap = (gap + 1) & mask
	}
	// Close the gap, so that no search ends early at it.
	for i := (gap + 1) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		home := int(t.slots[i] >> 32 >> t.shift)
		if (i-home)&mask >= (i-gap)&mask {
			t.slots[gap], gap = t.slots[i], i
		}
	}
	t.slots[gap] = 0
	t.n--
	t.row(id).flag(flagLive, false)
}

// drop gives up a row that was removed.
func (t *rows) drop(id rowID) {
	b := t.row(id)
	if n := int(binary.LittleEndian.Uint16(b[rowLen:])); n == longKey {
		delete(t.long, id)
	} else {
		t.short.drop(keyRef(binary.LittleEndian.Uint32(b[rowKey:])), n)
	}
	if b.is(flagCells) {
		t.chunks[id/chunkRows].cells[id%chunkRows] = nil
	}
	t.free = append(t.free, id)
}

// empty are cells of no row, until the next call of empty or cells.
func (t *rows) empty() []cell {
	clear(t.scratch)
	return t.scratch
}

// cells are those of a row, until the next call. What is changed in them is to
// be kept by keep.
func (t *rows) cells(id rowID) []cell {
	b := t.row(id)
	if b.is(flagCells) {
		return t.chunks[id/chunkRows].cells[id%chunkRows]
	}
	if t.packing.size == 0 {
		return t.empty()
	}
	t.packing.unpack(b[t.at:], t.scratch)
	return t.scratch
}

// keep keeps what cells returned, packed if it can be.
func (t *rows) keep(id rowID, cells []cell) {
	b := t.row(id)
	if b.is(flagCells) || t.packing.size > 0 && t.packing.pack(b[t.at:], cells) {
		return
	}
	c := &t.chunks[id/chunkRows]
	if c.cells == nil {
		c.cells = make([][]cell, chunkRows)
	}
	c.cells[id%chunkRows] = append(make([]cell, 0, t.width), cells...)
	b[rowFlags] |= flagCells
}

// all calls visit for every row. visit must not add or remove one.
func (t *rows) all(visit func(rowID)) {
	for id := range t.next {
		if t.row(id).is(flagLive) {
			visit(id)
		}
	}
}
