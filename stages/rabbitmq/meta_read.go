package rabbitmq

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
)

// saved is what came with a message, as AppendMeta has written it.
type saved struct {
	Queue      string            `json:"queue"`
	Exchange   *string           `json:"exchange"`
	RoutingKey string            `json:"routing_key"`
	MessageID  looseText         `json:"message_id"`
	Type       looseText         `json:"content_type"`
	Correlates looseText         `json:"correlation_id"`
	Encoding   looseText         `json:"content_encoding"`
	Kind       looseText         `json:"type"`
	App        looseText         `json:"app_id"`
	User       looseText         `json:"user_id"`
	ReplyTo    looseText         `json:"reply_to"`
	Timestamp  looseText         `json:"timestamp"`
	Expiration looseText         `json:"expiration"`
	Priority   uint8             `json:"priority"`
	Headers    map[string]any    `json:"headers"`
	Types      map[string]string `json:"header_types"`
}

// looseText is a text that may be written as a number.
type looseText string

func (t *looseText) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	*t = looseText(b)
	return nil
}

// readMeta is the other way round of AppendMeta.
func readMeta(meta []byte) (*saved, *envelope, error) {
	var s saved
	if len(meta) > 0 {
		d := json.NewDecoder(bytes.NewReader(meta))
		d.UseNumber()
		if err := d.Decode(&s); err != nil {
			return nil, nil, fmt.Errorf("what came with the message cannot be read: %w", err)
		}
	}
	v := &envelope{key: s.RoutingKey, id: string(s.MessageID), contentType: string(s.Type)}
	if s.Exchange != nil {
		v.exchange = *s.Exchange
	}
	v.rest = &rest{
		correlationID: string(s.Correlates), replyTo: string(s.ReplyTo), expiration: string(s.Expiration), kind: string(s.Kind),
		appID: string(s.App), encoding: string(s.Encoding), userID: string(s.User), priority: s.Priority,
	}
	if t, err := time.Parse(time.RFC3339Nano, string(s.Timestamp)); err == nil {
		v.rest.timestamp = t
	}
	if len(s.Headers) > 0 {
		v.headers = s.table(s.Headers, "")
	}
	return &s, v, nil
}

func (s *saved) table(m map[string]any, at string) amqp.Table {
	t := make(amqp.Table, len(m))
	for name, v := range m {
		t[name] = s.field(v, at+"/"+pointerEscape.Replace(name))
	}
	return t
}

// field is a header's value in its AMQP type. A value that does not fit the
// type that was noted stays as JSON has it.
func (s *saved) field(x any, at string) any {
	typ := s.Types[at]
	switch x := x.(type) {
	case map[string]any:
		return s.table(x, at)
	case []any:
		list := make([]any, len(x))
		for i, v := range x {
			list[i] = s.field(v, at+"/"+strconv.Itoa(i))
		}
		return list
	case json.Number:
		return number(x, typ)
	case string:
		switch typ {
		case "bytes":
			return []byte(x)
		case "time":
			if t, err := time.Parse(time.RFC3339Nano, x); err == nil {
				return t
			}
		case "bytes_base64", "text_base64":
			if b, err := base64.StdEncoding.DecodeString(x); err == nil {
				if typ == "bytes_base64" {
					return b
				}
				return string(b)
			}
		}
	case nil:
		switch typ {
		case "float64":
			return math.NaN()
		case "float32":
			return float32(math.NaN())
		}
	}
	return x
}

func number(n json.Number, typ string) any {
	i, err := n.Int64()
	if scale, ok := strings.CutPrefix(typ, decimalType); ok {
		k, _ := strconv.ParseUint(scale, 10, 8)
		f, _ := n.Float64()
		return amqp.Decimal{Scale: uint8(k), Value: int32(math.Round(f * math.Pow10(int(k))))}
	}
	switch typ {
	case "float64":
		f, _ := n.Float64()
		return f
	case "float32":
		f, _ := n.Float64()
		return float32(f)
	case "int8":
		return int8(i)
	case "uint8":
		return byte(i)
	case "int16":
		return int16(i)
	case "uint16":
		return uint16(i)
	case "int32":
		return int32(i)
	case "uint32":
		return uint32(i)
	}
	if err == nil {
		return i
	}
	f, _ := n.Float64()
	return f
}

// restored is what came with a record that was held meanwhile, or died.
func restored(m record.Meta) *envelope {
	s, ok := m.(record.SavedMeta)
	if !ok {
		return nil
	}
	_, v, err := readMeta([]byte(s))
	if err != nil {
		return nil
	}
	return v
}
