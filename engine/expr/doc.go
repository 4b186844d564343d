// Package expr compiles the expressions of a flow and evaluates them over
// records. It knows records and the expr-lang language; it knows no stage, no
// YAML and no clock.
//
// The language is expr-lang's (github.com/expr-lang/expr): its parser reads an
// expression and its checker types it. Common operations become closures over
// [record.Value], which allocate nothing for numbers, comparisons and logic;
// everything else runs on expr-lang's virtual machine, with an environment
// that holds only the fields that the expression reads.
//
// # Names
//
// A name is a field of the record: reading, a.b, a?.b, tags[0], and
// $env["odd name"] for names that are not words. meta.x reads what the source
// knows of the record besides its payload, params.x is a constant. A field
// that is called meta or params is $env["meta"].
//
// # Where the meaning differs from expr-lang's
//
// The differences hold for closures and for the virtual machine alike.
//
//   - Whatever is not there is nil: a field that the record lacks, a part of
//     nil, a list position behind the end. expr-lang fails at the last two.
//   - An operation on nil is an error that names the missing operand. The
//     exceptions are expr-lang's: ==, !=, ??, in, matches, contains,
//     startsWith and endsWith take nil.
//   - Both sides of && and || must be true or false, the right one too.
//   - Division by zero, the remainder by zero, and any result that no finite
//     number can hold are errors, never Inf or NaN.
//   - An integer result beyond 64 bits becomes a float instead of wrapping.
//   - Text is cut between characters: name[0:2] is its first two, as len counts
//     them, and not its first two bytes. Text has no positions: name[0] is nil.
//   - + makes texts of at most 1 MiB.
//   - min and max take numbers and lists of numbers only.
//   - string(nil) is an error; string of a list or object is its JSON, string of
//     a time is RFC 3339.
//   - An integer compares exactly with a float, and lists and objects compare by
//     what is in them.
//   - int of a number beyond 64 bits, and a range between numbers with decimals,
//     are errors.
//   - now() is the time of the batch, in UTC. Nothing reads the clock.
//   - keys, values and toPairs are sorted by key.
//   - As a result a time is RFC 3339 text, a duration is text such as 1m30s.
//   - $env alone is an error: fields are read by name.
//
// A number that passes through unchanged, as in "a ?? b", keeps its exact
// digits. A number beyond 64 bits that passes through the virtual machine
// becomes the nearest float.
package expr
