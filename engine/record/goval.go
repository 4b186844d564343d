package record

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Go is the value as the expression VM knows it: nil, bool, int, float64,
// string, []any or map[string]any.
func (v Value) Go() any {
	switch v.kind {
	case Bool:
		return v.n != 0
	case Int:
		return int(v.n)
	case Float:
		return v.Float()
	case String:
		return v.Str()
	case List:
		list := []any{}
		for w := walk(v.s, 0); w.next(); {
			list = append(list, w.any().Go())
		}
		return list
	case Map:
		m := map[string]any{}
		for w := walk(v.s, 0); w.next(); {
			m[w.key()] = w.any().Go()
		}
		return m
	}
	return nil
}

// FromGo is the value of what an expression returned. Times become RFC 3339
// text, durations their usual text, lists and maps JSON with sorted keys. It
// is an error for what has no place in a document, such as a function.
func FromGo(x any) (Value, error) {
	switch x := x.(type) {
	case nil:
		return NullValue(), nil
	case Value:
		return x, nil
	case bool:
		return BoolValue(x), nil
	case int:
		return IntValue(int64(x)), nil
	case int64:
		return IntValue(x), nil
	case float64:
		return FloatValue(x), nil
	case string:
		return StringValue(x), nil
	case time.Time:
		return StringValue(x.Format(time.RFC3339Nano)), nil
	case time.Duration:
		return StringValue(x.String()), nil
	case json.Number:
		if v, ok := parseNumber(string(x)); ok {
			return v, nil
		}
		return Value{}, fmt.Errorf("%q is not a number", string(x))
	case []any:
		text, err := appendList(nil, len(x), func(i int) any { return x[i] })
		return ListValue(stringOf(text)), err
	case map[string]any:
		text, err := appendMap(nil, x)
		return MapValue(stringOf(text)), err
	}
	return fromReflect(x)
}

// fromReflect is FromGo for the types that functions of expressions return
// now and then, such as []string.
func fromReflect(x any) (Value, error) {
	r := reflect.ValueOf(x)
	switch r.Kind() {
	case reflect.Bool:
		return BoolValue(r.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return IntValue(r.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if u := r.Uint(); u > math.MaxInt64 {
			return Value{kind: Float, n: math.Float64bits(float64(u)), s: strconv.FormatUint(u, 10)}, nil
		}
		return IntValue(int64(r.Uint())), nil
	case reflect.Float32, reflect.Float64:
		return FloatValue(r.Float()), nil
	case reflect.String:
		return StringValue(r.String()), nil
	case reflect.Slice, reflect.Array:
		text, err := appendList(nil, r.Len(), func(i int) any { return r.Index(i).Interface() })
		return ListValue(stringOf(text)), err
	case reflect.Map:
		if r.Type().Key().Kind() != reflect.String {
			break
		}
		m := make(map[string]any, r.Len())
		for it := r.MapRange(); it.Next(); {
			m[it.Key().String()] = it.Value().Interface()
		}
		text, err := appendMap(nil, m)
		return MapValue(stringOf(text)), err
	}
	return Value{}, fmt.Errorf("a value of type %T has no place in a record", x)
}

func appendList(dst []byte, n int, at func(int) any) ([]byte, error) {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		v, err := FromGo(at(i))
		if err != nil {
			return nil, err
		}
		dst = AppendValue(dst, v)
	}
	return append(dst, ']'), nil
}

func appendMap(dst []byte, m map[string]any) ([]byte, error) {
	dst = append(dst, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, k), ':')
		v, err := FromGo(m[k])
		if err != nil {
			return nil, err
		}
		dst = AppendValue(dst, v)
	}
	return append(dst, '}'), nil
}
