package rabbitmq

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
)

// fromAMQP is a header's value as expressions see it: numbers, texts and
// booleans keep their types, times are RFC 3339 text, tables and arrays JSON.
// Bytes are text when they are UTF-8, and missing when not.
func fromAMQP(x any) record.Value {
	switch x := x.(type) {
	case nil:
		return record.NullValue()
	case bool:
		return record.BoolValue(x)
	case string:
		return record.StringValue(strings.ToValidUTF8(x, "\ufffd"))
	case []byte:
		if !utf8.Valid(x) {
			return record.Value{}
		}
		return record.StringValue(string(x))
	case int64:
		return record.IntValue(x)
	case int32:
		return record.IntValue(int64(x))
	case time.Time:
		return record.StringValue(record.FormatTime(x.UnixNano()))
	}
	v, err := record.FromGo(plain(x))
	if err != nil {
		return record.Value{}
	}
	return v
}

// plain is a field of a table in types that have a place in JSON.
func plain(x any) any {
	switch x := x.(type) {
	case amqp.Table:
		m := make(map[string]any, len(x))
		for k, v := range x {
			m[k] = plain(v)
		}
		return m
	case []any:
		list := make([]any, len(x))
		for i, v := range x {
			list[i] = plain(v)
		}
		return list
	case amqp.Decimal:
		return float64(x.Value) / math.Pow10(int(x.Scale))
	case time.Time:
		return x.UTC()
	case []byte:
		return strings.ToValidUTF8(string(x), "\ufffd")
	case string:
		return strings.ToValidUTF8(x, "\ufffd")
	}
	return x
}

// toAMQP is a value of an expression as a header: the other way round. It has
// memory of its own.
func toAMQP(v record.Value) any {
	switch v.Kind() {
	case record.Bool:
		return v.Bool()
	case record.Int:
		return v.Int()
	case record.Float:
		return v.Float()
	case record.String:
		return strings.Clone(v.Str())
	case record.List, record.Map:
		return tabled(v.Go())
	}
	return nil
}

// tabled is a decoded JSON value in types that AMQP has.
func tabled(x any) any {
	switch x := x.(type) {
	case map[string]any:
		t := make(amqp.Table, len(x))
		for k, v := range x {
			t[k] = tabled(v)
		}
		return t
	case []any:
		list := make([]any, len(x))
		for i, v := range x {
			list[i] = tabled(v)
		}
		return list
	case int:
		return int64(x)
	case nil, bool, int64, float64, string:
		return x
	}
	return fmt.Sprint(x) // a number beyond 64 bits
}
