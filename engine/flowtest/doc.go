// Package flowtest tests flows: it runs the plan that production runs, on the
// engine that production runs it on, and puts memory in place of sources and
// sinks, and a scripted clock in place of the machine's. It knows fixtures,
// scripted time, expectations and reports. It must not know any broker, nor
// any concrete stage.
//
// A [Bench] runs one flow. Whoever drives it feeds messages, moves time, and
// breaks things; between two such steps the bench waits until the flow is at
// rest, which is when every goroutine of it waits for a message or for the
// time. So what a step causes has happened when the step returns, whatever the
// scheduler does, and nothing ever sleeps.
//
// # What makes a run repeatable
//
//   - A flow runs in a bubble of testing/synctest, which knows when all of its
//     goroutines are blocked.
//   - Time moves only when told, from one timer to the next. Of timers that are
//     due at the same instant those of sources fire first, then those of sinks,
//     and that of the checkpoint last; the flow comes to rest behind each.
//   - Sources take turns: one of them hands over one batch, and the flow comes
//     to rest, before the next batch is handed over.
//   - What a sink was given is listed in the order of each key, and between keys
//     in the order of the messages that it came from; see [Arrival].
//
// # When a flow commits
//
// As in production: one with state at its checkpoint interval, on the scripted
// clock; one without, whose source waits for acknowledgements, as soon as what
// was fed is through. A crash forgets what came since.
package flowtest
