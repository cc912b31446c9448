// Package fault names the points between two steps at which the crash harness has a process die.
//
// In a program that is built without the tag chaos, [Point] is empty and nothing of it is left. With the tag, on Linux, the
// variable [Variable] of the environment arms one point.
package fault

// Variable names the point at which the process is struck: POINT, or POINT:N for its N-th passing, and ":stop" behind that for a
// process that is to be stopped there (SIGSTOP) and not killed (SIGKILL).
const Variable = "RBEE_FAULT"

// TraceVariable names a file to which every passing of a point is appended, as a line of the point and the nanoseconds of the
// monotonic clock.
const TraceVariable = "RBEE_FAULT_TRACE"
