// Package checkpoint keeps the books of epochs: which are in flight, what
// each of them changes, and when one may be committed. It clocks them, writes
// their commits into the state store, whose only user it is, and then has the
// sources settled.
//
// It knows nothing of stages or YAML, and never sees a record.
//
// # The life of an epoch
//
// The [Coordinator] begins epoch k by having barrier k put into the stream of
// every source ([Hooks.Inject]). On its way the barrier collects what epoch k
// consists of: where each source was ([Coordinator.Mark]), what each state
// changed ([Coordinator.Snapshot]), which deliveries are to be rejected
// ([Coordinator.Reject]). When a sink has made everything before the barrier
// durable it says so ([Coordinator.Durable]), together with the oldest epoch
// h that is still held on the way. Once all sinks have, every epoch before
// the lowest h is complete, and is committed in order: one atomic write, then
// the sources settle.
package checkpoint
