package messages_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func BenchmarkDecodeJob(b *testing.B) {
	data, err := samples()["job_full"].Encode()
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := messages.DecodeJob(data, messages.WorkerSpawn); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeResult(b *testing.B) {
	data, err := samples()["result"].Encode()
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := messages.DecodeResult(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeWorkers reads what a hive with 100 workers answers.
func BenchmarkDecodeWorkers(b *testing.B) {
	page := messages.WorkerPage{HiveID: hiveID}
	for range 100 {
		page.Workers = append(page.Workers, readyWorker())
	}
	data, err := page.Encode()
	require.NoError(b, err)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := messages.DecodeWorkers(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodeWorkers writes it.
func BenchmarkEncodeWorkers(b *testing.B) {
	page := messages.WorkerPage{HiveID: hiveID}
	for range 100 {
		page.Workers = append(page.Workers, readyWorker())
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := page.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	event := jobEvent()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
