// Package deadletter knows dead letters: the envelope that one travels in, how
// it is written and read, and what people do with it, which is to look at it,
// to have it processed again, and to drop it.
//
// It knows files of letters. Other places, such as the queues of a broker, are
// a [Store] of their own. It does not know flows, nor how they run.
package deadletter
