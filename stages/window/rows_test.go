package window

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
)

// someCell is a cell as aggregates leave it.
func someCell(t *rapid.T, o op) cell {
	var c cell
	n := rapid.IntRange(0, 4).Draw(t, "values")
	value := func() record.Value {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return record.IntValue(rapid.Int64().Draw(t, "int"))
		case 1:
			return record.FloatValue(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "float"))
		case 2:
			if o == opMin || o == opMax {
				return record.StringValue(rapid.String().Draw(t, "text"))
			}
		case 3:
			return record.IntValue(int64(rapid.IntRange(-9, 9).Draw(t, "digit")))
		}
		return record.FloatValue(rapid.Float64Range(-9, 9).Draw(t, "real"))
	}
	for range n {
		switch v := value(); {
		case o == opMin:
			c.extreme(v, -1)
		case o == opMax:
			c.extreme(v, 1)
		case o == opSpread:
			c.spread(v.Float())
		case o == opCount:
			c.n++
		case v.Kind() == record.Int:
			c.n++
			c.addInt(v.Int())
			c.form = max(c.form, formInt)
		default:
			c.n++
			c.addReal(v.Float())
			c.form = formReal
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "many") == 0 {
		c.n += rapid.Int64Range(math.MaxUint32-5, math.MaxInt64-5).Draw(t, "n")
	}
	return c
}

// same compares what can be seen of cells: their results and their state.
func same(t *rapid.T, set *aggregates, got, want []cell) {
	t.Helper()
	for i := range want {
		var a, b encoder
		a.cell(set.cells[i].op, &got[i])
		b.cell(set.cells[i].op, &want[i])
		if string(a.b) != string(b.b) {
			t.Fatalf("cell %d (%v) is %+v, want %+v", i, set.cells[i].op, got[i], want[i])
		}
	}
}

// TestRowsAreLikeAMap compares the table with a map: keys of any length whose
// hashes collide, cells that can be packed and cells that cannot, rows that are
// dropped at once, later, or never.
func TestRowsAreLikeAMap(t *testing.T) {
	kept := map[string]*aggregates{}
	for name, ops := range map[string][]op{
		"packed": {opCount, opMin, opMax, opSum, opSpread}, "not packed": {opCount, opLast, opSum},
	} {
		kept[name] = &aggregates{}
		for _, o := range ops {
			kept[name].cells = append(kept[name].cells, cellSpec{op: o})
		}
	}
	for name, set := range kept {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { likeAMap(t, set, rapid.Bool().Draw(t, "expire")) })
		})
	}
}

func likeAMap(t *rapid.T, set *aggregates, expire bool) {
	type content struct {
		id    rowID
		seq   int64
		cells []cell
	}
	table, want := newRows(set, expire), map[string]*content{}
	var dead []rowID
	lengths := rapid.SampledFrom([]int{0, 1, 3, 4, 5, 15, 255, 256, 257, 1000})
	hash := func(key string) uint64 { return record.Hash(key) % uint64(1+len(key)%7) }
	keys := rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.StringMatching("[a-c]").Draw(t, "letter"), lengths.Draw(t, "length")) + fmt.Sprint(rapid.IntRange(0, 200).Draw(t, "number"))
	})
	check := func(key string, c *content) {
		id, ok := table.find(hash(key), key)
		if !ok || id != c.id || string(table.key(id)) != key || table.row(id).get(rowSeq) != c.seq {
			t.Fatalf("key %q: row %d %v with %q and %d, want %d with %d", key, id, ok, table.key(c.id), table.row(c.id).get(rowSeq), c.id, c.seq)
		}
		same(t, set, table.cells(id), c.cells)
	}
	t.Repeat(map[string]func(*rapid.T){
		"put": func(t *rapid.T) {
			key := keys.Draw(t, "key")
			c := want[key]
			id, known := table.find(hash(key), key)
			if known != (c != nil) {
				t.Fatalf("key %q: known %v", key, known)
			}
			if !known {
				id = table.add(hash(key), key)
				c = &content{id: id, cells: make([]cell, len(set.cells))}
				want[key] = c
			}
			check(key, c)
			c.seq = rapid.Int64().Draw(t, "seq")
			table.row(id).set(rowSeq, c.seq)
			cells := table.cells(id)
			for i := range cells {
				if o := set.cells[i].op; o != opLast {
					cells[i] = someCell(t, o)
				} else {
					cells[i] = cell{n: 1, store: &kept{value: record.IntValue(c.seq), last: true}}
				}
			}
			c.cells = append(c.cells[:0], cells...)
			table.keep(id, cells)
			check(key, c)
		},
		"remove": func(t *rapid.T) {
			key := keys.Draw(t, "key")
			if c := want[key]; c != nil {
				table.remove(c.id, hash(key))
				delete(want, key)
				if rapid.Bool().Draw(t, "later") {
					dead = append(dead, c.id)
				} else {
					table.drop(c.id)
				}
			}
		},
		"drop": func(*rapid.T) {
			for _, id := range dead {
				table.drop(id)
			}
			dead = nil
		},
		"": func(t *rapid.T) {
			found := map[string]rowID{}
			table.all(func(id rowID) { found[string(table.key(id))] = id })
			ids := map[string]rowID{}
			for key, c := range want {
				ids[key] = c.id
			}
			if table.n != len(want) || !reflect.DeepEqual(found, ids) {
				t.Fatalf("%d keys: %v, want %v", table.n, found, ids)
			}
		},
	})
	for key, c := range want {
		check(key, c)
	}
}

func TestManyRowsStayWhatTheyAre(t *testing.T) {
	const keys = 3*chunkRows + 5
	set := &aggregates{cells: []cellSpec{{op: opCount}}}
	table := newRows(set, false)
	key := func(i int) string { return fmt.Sprintf("key %d", i) }
	for i := range keys {
		id := table.add(record.Hash(key(i)), key(i))
		cells := table.cells(id)
		cells[0].n = int64(i)
		table.keep(id, cells)
	}
	for i := range keys {
		id, ok := table.find(record.Hash(key(i)), key(i))
		if !ok || table.cells(id)[0].n != int64(i) {
			t.Fatalf("key %d: %v %v", i, ok, table.cells(id))
		}
	}
	if _, ok := table.find(record.Hash(key(keys)), key(keys)); ok || table.n != keys {
		t.Errorf("%d keys", table.n)
	}
}

func TestMarksAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m marks
		want := map[rowID]bool{}
		ids := rapid.Custom(func(t *rapid.T) rowID { return rowID(rapid.IntRange(0, 300).Draw(t, "id")) })
		t.Repeat(map[string]func(*rapid.T){
			"add":    func(t *rapid.T) { id := ids.Draw(t, "id"); m.add(id); want[id] = true },
			"remove": func(t *rapid.T) { id := ids.Draw(t, "id"); m.remove(id); delete(want, id) },
			"take": func(t *rapid.T) {
				limit, last, taken := rapid.IntRange(0, 20).Draw(t, "limit"), -1, 0
				m.take(limit, func(id rowID) {
					if !want[id] || int(id) <= last {
						t.Fatalf("took %d behind %d", id, last)
					}
					last, taken = int(id), taken+1
					delete(want, id)
				})
				if taken > limit || taken < limit && len(want) > 0 {
					t.Fatalf("took %d of up to %d, and left %d", taken, limit, len(want))
				}
			},
			"": func(t *rapid.T) {
				if m.n != len(want) {
					t.Fatalf("%d, want %d", m.n, len(want))
				}
				for id := range rowID(310) {
					if m.has(id) != want[id] {
						t.Fatalf("%d: %v", id, m.has(id))
					}
				}
			},
		})
	})
}
