// Package generate holds the source `generate`: simulated sensors, and rows
// made by expressions.
//
// Every record depends on its index and the seed alone, so that a run can be
// repeated, and be resumed anywhere. The package reads no clock but the
// engine's.
package generate
