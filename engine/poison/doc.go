// Package poison finds the records that end the process. A panic in a stage is
// a dead letter at once; but a fatal error of the runtime, a stage that exits,
// or memory that runs out leaves nobody to write one, and the source delivers
// the same record to the next process, and the one after that.
//
// While a flow runs, a note of it is in the store, which goes when the flow ends
// in order. A process that finds one knows that the last one did not. From the
// second such end in a row on a [Guard] watches: what is read again goes in
// groups, one at a time in the whole process, each noted durably before it goes.
// A group that the process ended with is let through record by record next
// time, and a record that was alone in flight at enough ends is condemned.
//
// A process is also ended from outside, at any moment and more than once. Three
// rules keep that from condemning good records: only a record that is alone
// counts; one under suspicion is tried again only when the process has lived for
// a while with nothing in flight ([rest]), which is long against the time that a
// record takes; and what takes long, because a sink is away say, does not count
// ([Guard.Withdraw], [patience]).
//
// The package knows records by names that it is given, and must not know stages,
// graphs or what dead letters are.
package poison
