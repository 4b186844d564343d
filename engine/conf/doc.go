// Package conf turns a YAML tree into typed configuration: defaults, checks with line and column,
// reference pages and JSON Schema, all from one declaration in the manner of the standard flag package.
//
//	func (c *Config) bind(f *conf.Fields) {
//		f.Int(&c.Size, "size", 100, "Emit once this many records are held.").Min(1)
//		f.Duration(&c.Timeout, "timeout", time.Second, "Emit once the oldest record is this old.").Min(time.Millisecond)
//	}
//
// The declaration runs to decode a file (NewFields, then Finish) and to describe itself (Describe).
//
// It knows YAML, the ${…} references and the traps that expressions meet inside YAML. It must not know any
// stage, nor the grammar of a flow, nor the language of expressions. It keeps no state of its own and starts nothing.
package conf
