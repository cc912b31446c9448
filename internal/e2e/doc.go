// Package e2e tests the whole: a real NATS server, real hive processes, real workers.
//
// It holds nothing but tests. They build rbee-hive and a worker that plays whatever its model says (testdata/worker),
// speak to the hives as any client would, with plain NATS requests and JSON written by hand, and look at what became of
// the processes in /proc. Nothing that they start outlives them.
package e2e
