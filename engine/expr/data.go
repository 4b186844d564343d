package expr

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

// plainData brings a result into the types that record.FromGo takes. budget
// bounds its size: a list may hold itself many times over, which costs an
// expression nothing and a document everything.
func plainData(x any, budget *int, depth int) (any, error) {
	const deepest = 1000
	if *budget--; *budget < 0 {
		return nil, errTooLarge
	}
	if depth > deepest {
		return nil, errTooDeep
	}
	switch x := x.(type) {
	case nil, bool, int, time.Time, time.Duration:
		return x, nil
	case string:
		*budget -= len(x) / 16
		return x, nil
	case float64:
		if notFinite(x) {
			return nil, errNotFinite
		}
		return x, nil
	case []byte:
		return string(x), nil
	}
	r := reflect.ValueOf(x)
	switch r.Kind() {
	case reflect.Slice, reflect.Array:
		list := make([]any, r.Len())
		for i := range list {
			item, err := plainData(r.Index(i).Interface(), budget, depth+1)
			if err != nil {
				return nil, err
			}
			list[i] = item
		}
		return list, nil
	case reflect.Map:
		m := make(map[string]any, r.Len())
		for it := r.MapRange(); it.Next(); {
			key, err := keyText(it.Key().Interface())
			if err != nil {
				return nil, err
			}
			if m[key], err = plainData(it.Value().Interface(), budget, depth+1); err != nil {
				return nil, err
			}
		}
		return m, nil
	case reflect.Bool, reflect.String, reflect.Float32,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return x, nil
	}
	return nil, fmt.Errorf("the result is %s, which has no place in a record", goType(fmt.Sprintf("%T", x)))
}

// keyText is the key of an object. groupBy makes keys of any type.
func keyText(x any) (string, error) {
	v, ok := scalar(x)
	if !ok {
		var err error
		if v, err = fromMachine(x); err != nil {
			return "", err
		}
	}
	if v.IsNil() {
		return "nil", nil
	}
	return v.Text(), nil
}

// sortedKeys lists the keys of a map by their text, so that no result depends
// on the order in which Go walks a map.
func sortedKeys(m reflect.Value) []reflect.Value {
	type named struct {
		text string
		key  reflect.Value
	}
	keys := make([]named, 0, m.Len())
	for _, k := range m.MapKeys() {
		text, _ := keyText(k.Interface())
		keys = append(keys, named{text, k})
	}
	slices.SortStableFunc(keys, func(a, b named) int { return cmp.Compare(a.text, b.text) })
	sorted := make([]reflect.Value, len(keys))
	for i, k := range keys {
		sorted[i] = k.key
	}
	return sorted
}

// fetch is "base[key]" and "base.key": nil when it is not there.
func fetch(base, key any) (any, bool) {
	switch b := base.(type) {
	case nil:
		return nil, true
	case string:
		return nil, true // text has no parts
	case map[string]any:
		if k, ok := key.(string); ok {
			return b[k], true
		}
		return nil, true
	case []any:
		i, ok := key.(int)
		if !ok {
			return nil, true
		}
		if i < 0 {
			i += len(b)
		}
		if i < 0 || i >= len(b) {
			return nil, true
		}
		return b[i], true
	}
	return nil, false
}

// part is "x[from:to]". Text is cut between characters, and positions behind
// an end are that end. nil has only the part nil.
func part(x, from, to any) (any, bool) {
	switch x := x.(type) {
	case nil:
		return nil, true
	case string:
		runes := []rune(x)
		a, b := bounds(from, to, len(runes))
		return string(runes[a:b]), true
	case []any:
		a, b := bounds(from, to, len(x))
		return x[a:b:b], true
	}
	r := reflect.ValueOf(x)
	if r.Kind() != reflect.Slice {
		return nil, false
	}
	a, b := bounds(from, to, r.Len())
	return r.Slice3(a, b, b).Interface(), true
}

func bounds(from, to any, n int) (a, b int) {
	a, b = 0, n
	if i, ok := from.(int); ok {
		a = position(i, n)
	}
	if i, ok := to.(int); ok {
		b = position(i, n)
	}
	return min(a, b), b
}

// position is a position within 0 to n; a negative one counts from the end.
func position(i, n int) int {
	if i < 0 {
		i += n
	}
	return max(0, min(i, n))
}

// equal is == for values of the virtual machine; false, false when they are
// of a type that only it has.
func equal(a, b any) (same, known bool) {
	x, xok := scalar(a)
	y, yok := scalar(b)
	if xok && yok {
		return record.Equal(x, y), true
	}
	if !document(a) || !document(b) {
		return false, false
	}
	x, errX := fromMachine(a)
	y, errY := fromMachine(b)
	return errX == nil && errY == nil && record.Equal(x, y), true
}

// document says whether a value may be what a record holds.
func document(x any) bool {
	if _, ok := scalar(x); ok {
		return true
	}
	switch reflect.TypeOf(x).Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return true
	}
	return false
}
