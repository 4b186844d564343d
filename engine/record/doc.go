// Package record holds what travels through a flow: values, records, batches
// and barriers, and the one decoder and encoder between bytes and records.
//
// It is the bottom of the program and knows no other package of ours.
//
// # How a record keeps its bytes
//
// A record carries the payload it came with and a slot for every field that
// its flow reads ([Layout]). Stages write slots, never the payload. What the
// record looks like as a document is its [Shape]: nil means "exactly the
// payload", anything else is a list of edits that many records share. So an
// untouched record is never encoded again, and an untouched field keeps its
// exact bytes: the digits of a 19-digit id, the exponent of a number.
//
// # Who owns the memory
//
// Payloads, slots and record slices of a batch live in an [Arena], which is
// reused once every batch that refers to it has been released. A stage that
// keeps a value or record beyond the call that brought it copies it
// ([Value.Clone], [Record.Clone]) or keeps the batch's arena alive
// ([Batch.Share]).
package record
