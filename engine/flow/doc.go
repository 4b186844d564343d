// Package flow compiles a flow file into a [plan.Plan]: it checks the whole
// file, reports every problem with its place, and opens and starts nothing.
//
// It knows the grammar of flow files and the contracts of stages. It knows no
// concrete stage (a [stage.Registry] brings those), no goroutine and no
// connection.
//
// The work has three phases, so that one problem does not hide another: the
// entries of the file are decoded, then named, then built in the order in
// which records pass them.
package flow
