// Package stage holds the contracts between the engine and the stages:
// [Source], [Operator] and [Sink], their declarations ([Kind]) and the
// [Registry] that a program hands to the compiler.
//
// It knows no concrete stage and nothing of go-streams.
package stage
