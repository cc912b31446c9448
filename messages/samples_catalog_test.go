package messages_test

import "github.com/rbee-keeper/hive/messages"

const (
	llamaDir = catalog + "/llama-server-vb6795-linux-amd64"
	llamaBin = llamaDir + "/bin/llama-server"
	llamaSum = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
)

func llamaPlan() messages.Plan {
	return messages.Plan{
		HiveID: hiveID, JobID: jobID, WorkerID: workerID, DryRun: true, Device: "cuda:0", Model: model, Port: 0, Ports: "9001-9999",
		WorkerType: cudaType, Worker: "llama-server", Version: "b6795", Source: "catalog", BinaryPath: llamaBin,
		Why:  "it is the highest of 2 versions that can be started",
		Args: []string{"--model", model, "--host", "127.0.0.1", "--port", "${port}", "--alias", workerID},
		Env: []string{
			"PATH=/usr/bin:/bin", "HF_TOKEN=…", "CUDA_VISIBLE_DEVICES=0", "RBEE_WORKER_ID=" + workerID, "RBEE_JOB_ID=" + jobID,
			"RBEE_HIVE_ID=" + hiveID, "RBEE_PORT=${port}",
		},
		WorkDir: "/var/lib/rbee", HealthPath: "/health", HealthStatus: 200, StopSignal: "SIGTERM", StopGraceMS: 30_000,
		Skipped: []messages.Skipped{{Path: catalog + "/llama-server-vb6800-linux-amd64", Reason: llamaProblem}},
	}
}

const llamaProblem = catalog + "/llama-server-vb6800-linux-amd64/bin/llama-server: is cut short: 512 bytes of at least 4096 are there; install it again"

func catalogPage() messages.CatalogPage {
	return messages.CatalogPage{
		HiveID: hiveID, CatalogDir: catalog, Platform: "linux/amd64", Next: 4,
		Entries: []messages.CatalogEntry{
			{
				Dir: llamaDir, Worker: "llama-server", Version: "b6795", OS: "linux", Arch: "amd64", BinaryPath: llamaBin, SHA256: llamaSum,
				Size: 4_194_304, Devices: []string{"cpu", "cuda"}, Description: "llama.cpp with CUDA 12", Manifest: true, Pinned: true, Chosen: true,
			},
			{
				Dir: catalog + "/llama-server-vb6800-linux-amd64", Problem: llamaProblem, Worker: "llama-server", Version: "b6800", OS: "linux",
				Arch: "amd64",
			},
		},
	}
}
