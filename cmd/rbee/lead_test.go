package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestShortID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"worker-44affadc-2842-501b-af08-716bd750847b": "worker-44affadc",
		"job-01a21441-e1dd-7a2c-b1a7-92a214171acc":    "job-…4171acc", // its first digits are those of every job of this minute
		"worker-abc123": "worker-abc123",
		"chat-on-the-first-card-of-the-second-machine": "chat-on-the-first-card-of-the-second-machine",
		"44affadc-2842-501b-af08-716bd750847b":         "44affadc-2842-501b-af08-716bd750847b",
		"":                                             "",
	} {
		require.Equal(t, want, shortID(id))
	}
}

func TestLeadTellsJobsApart(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	events := []messages.Event{
		{HiveID: "gpu-1", WorkerID: "worker-44affadc-2842-501b-af08-716bd750847b", JobID: "job-1", Human: "Worker type: CpuLlm"},
		{HiveID: "gpu-10", WorkerID: "chat", JobID: "job-2", Human: "Worker type: CudaLlm"},
		{HiveID: "gpu-1", JobID: "job-01a21441-e1dd-7a2c-b1a7-92a214171acc", Human: "refused"},
		{HiveID: "gpu-1", Human: "Hive 'gpu-1' takes jobs"},
		{HiveID: "gpu-1", WorkerID: "a-long-name-of-a-worker", Human: "exited"},
		{HiveID: "gpu-1", WorkerID: "chat\x1b[31m", Human: "exited"},
	}
	tests := map[string]*struct {
		lead lead
		want string
	}{
		"nothing": {lead{}, "Worker type: CpuLlm\nWorker type: CudaLlm\nrefused\nHive 'gpu-1' takes jobs\nexited\nexited\n"},
		"all": {lead{clock: true, hive: true, about: true}, `12:00:00 gpu-1 worker-44affadc Worker type: CpuLlm
12:00:00 gpu-10 chat            Worker type: CudaLlm
12:00:00 gpu-1  job-…4171acc    refused
12:00:00 gpu-1  -               Hive 'gpu-1' takes jobs
12:00:00 gpu-1  a-long-name-of-a-worker exited
12:00:00 gpu-1  chat                    exited
`},
		"one hive": {lead{about: true}, `worker-44affadc Worker type: CpuLlm
chat            Worker type: CudaLlm
job-…4171acc    refused
-               Hive 'gpu-1' takes jobs
a-long-name-of-a-worker exited
chat                    exited
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			told := newNarrator(&out, &test.lead)
			for _, event := range events {
				event.Time, event.Seq = at, 1
				told.tell(event)
			}
			require.Equal(t, test.want, out.String())
		})
	}
}
