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

func BenchmarkEncodeEvent(b *testing.B) {
	event := jobEvent()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
