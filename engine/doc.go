// Package engine runs flows: it starts a plan, restarts it from its last
// commit when a session is lost, drains it and stops it. Many flows run beside
// each other, each with a graph of its own.
//
// It knows no concrete stage and no broker.
package engine
