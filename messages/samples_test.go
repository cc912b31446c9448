package messages_test

import (
	"strconv"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// encoder is any message.
type encoder interface{ Encode() ([]byte, error) }

const (
	jobID    = "job-01a20320-a200-7c3e-9a54-5d0f3c2b1a00"
	hiveID   = "gpu-1"
	workerID = "worker-abc123"
	model    = "meta-llama/Llama-3-8b"
	catalog  = "/opt/rbee/workers"
	cudaBin  = catalog + "/cuda-llm-worker-rbee-v0.1.0-linux/cuda-llm-worker-rbee"
	debugBin = "/home/dev/src/target/debug/cpu-llm-worker-rbee"
	logName  = workerID + "." + jobID + ".log"
	logPath  = "/var/log/rbee/" + logName
	debugLog = "/home/dev/.local/state/rbee/logs/" + logName
	queenURL = "http://localhost:8500"
	cudaType = "CudaLlm"
)

// noon is a moment of the samples; after is ms milliseconds later.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func after(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

// started is when the worker of the samples was started.
var started = noon.Add(2_718_281 * time.Nanosecond)

// offPage names the samples that docs/wire.md does not show: no hive says them.
var offPage = map[string]bool{"event_every_field": true}

// samples returns one message per wire shape, by the name of its golden file. Names begin with the schema that they obey. But
// for those in [offPage] they are what the programs say, to the letter.
func samples() map[string]encoder {
	exited := exitFailure()
	return map[string]encoder{
		"job_minimal": messages.Job{Operation: messages.WorkerSpawn, Model: model, Device: "cpu"},
		"job_full": messages.Job{
			Operation: messages.WorkerSpawn, JobID: jobID, HiveID: hiveID, Model: model, Device: "cuda:0", WorkerID: workerID,
			Worker: "cuda-llm-worker-rbee", Version: "0.1.0", Port: 9001, QueenURL: queenURL, Wait: messages.WaitReady,
			ReadyTimeoutMS: 120_000, Deadline: after(60_000),
		},
		"job_dry_run": messages.Job{Operation: messages.WorkerSpawn, HiveID: hiveID, Model: model, Device: "cuda:0", Worker: "llama-server", DryRun: true},
		"plan":        llamaPlan(),
		"catalog":     messages.CatalogRequest{Operation: messages.CatalogList},
		"catalog_all": messages.CatalogRequest{Operation: messages.CatalogList, HiveID: hiveID, Skip: 2},
		"entries":     catalogPage(),
		"entries_none": messages.CatalogPage{
			HiveID: hiveID, CatalogDir: catalog, Platform: "linux/amd64", Entries: []messages.CatalogEntry{},
		},
		"result": messages.Result{
			JobID: jobID, HiveID: hiveID, WorkerID: workerID, PID: 12345, Port: 9001, BinaryPath: cudaBin, WorkerType: cudaType,
			Worker: "cuda-llm-worker-rbee", Version: "0.1.0", Source: "catalog", Device: "cuda:0", Model: model, StartedAt: started,
			LogPath: logPath,
		},
		"result_replayed": messages.Result{
			JobID: jobID, HiveID: hiveID, WorkerID: workerID, PID: 12345, Port: 9001, BinaryPath: debugBin, WorkerType: "CpuLlm",
			Worker: "cpu-llm-worker-rbee", Source: "debug", Device: "cpu", Model: model, StartedAt: started, LogPath: debugLog,
			Replayed: true, Ended: true,
		},
		"failure": messages.Failure{JobID: jobID, HiveID: hiveID, Err: &messages.Error{
			Code: messages.InvalidJob, Message: "port: is 70000; use 1 to 65535, or 0 for a free one",
		}},
		"failure_not_installed": messages.Failure{JobID: jobID, HiveID: hiveID, Err: &messages.Error{
			Code:    messages.WorkerNotInstalled,
			Message: "cpu-llm-worker-rbee is not installed; install it with `rbee-hive catalog add FILE --name cpu-llm-worker-rbee --version 1.0.0 --catalog-dir " + catalog + "`, or as one of " + strings.Join(tried(), ", "),
			Tried:   tried(),
		}},
		"failure_no_device": messages.Failure{JobID: jobID, HiveID: hiveID, Err: &messages.Error{
			Code: messages.DeviceNotFound, Message: "this machine has no cuda:7; it has cpu, cuda:0, cuda:1",
			Devices: []string{"cpu", "cuda:0", "cuda:1"},
		}},
		"failure_worker_exited": messages.Failure{JobID: jobID, HiveID: hiveID, Err: &exited},
		"failure_worker_killed": messages.Failure{JobID: jobID, HiveID: hiveID, Err: &messages.Error{
			Code: messages.WorkerExited, Signal: "SIGKILL",
			Message: "cuda-llm-worker-rbee was ended by SIGKILL after 40ms and wrote nothing to " + logPath,
		}},
		"failure_hive_busy": messages.Failure{JobID: jobID, HiveID: hiveID, Err: &messages.Error{
			Code: messages.HiveBusy, Retryable: true,
			Message: "hive gpu-1 has 64 jobs at work and 256 in line: try again later or on another hive",
		}},
		"failure_out_of_memory": messages.Failure{JobID: jobID, HiveID: hiveID, Err: outOfMemory()},
		"failure_no_worker": messages.Failure{HiveID: hiveID, Err: &messages.Error{
			Code: messages.WorkerNotFound, Message: "hive gpu-1 has no worker worker-abc124; worker_list tells those that it has",
		}},
		"list":        messages.ListRequest{Operation: messages.WorkerList},
		"list_full":   messages.ListRequest{Operation: messages.WorkerList, HiveID: hiveID, After: workerID, Exited: true},
		"get":         messages.GetRequest{Operation: messages.WorkerGet, HiveID: hiveID, WorkerID: workerID},
		"delete":      messages.DeleteJob{Operation: messages.WorkerDelete, WorkerID: workerID},
		"delete_full": fullDelete(),
		"logs_tail":   messages.LogsRequest{Operation: messages.WorkerLogs, HiveID: hiveID, WorkerID: workerID, Tail: 20},
		"logs_from":   messages.LogsRequest{Operation: messages.WorkerLogs, WorkerID: workerID, From: new(int64(4096)), Limit: 65536},
		"status":      messages.StatusRequest{Operation: messages.HiveStatus, HiveID: hiveID},
		"workers": messages.WorkerPage{
			HiveID: hiveID, Workers: []messages.Worker{readyWorker(), exitedWorker()}, Next: "worker-abc124",
		},
		"workers_none":   messages.WorkerPage{HiveID: hiveID, Workers: []messages.Worker{}},
		"worker":         messages.WorkerAnswer{HiveID: hiveID, Worker: readyWorker()},
		"worker_exited":  messages.WorkerAnswer{HiveID: hiveID, Worker: endedWorker()},
		"deleted":        messages.Deleted{JobID: deleteID, HiveID: hiveID, WorkerID: workerID, PID: 12345, Signal: "SIGTERM", TookMS: 84, Processes: 3, ExitCode: new(0)},
		"deleted_killed": messages.Deleted{JobID: deleteID, HiveID: hiveID, WorkerID: workerID, PID: 12345, Signal: "SIGKILL", TookMS: 10_012, Processes: 3},
		"log": messages.Logs{
			HiveID: hiveID, WorkerID: workerID, LogPath: logPath, Size: 4193, From: 4096, Next: 4193,
			Lines: []string{"loading shard 3 of 4", "loading shard 4 of 4", "listening on 127.0.0.1:9001"}, State: messages.StateReady,
		},
		"log_missed": messages.Logs{
			HiveID: hiveID, WorkerID: workerID, LogPath: logPath, Size: 301_989_888, Start: 201_326_592, From: 201_326_592,
			Next: 201_326_620, Missed: 201_322_496, Lines: []string{"token 50331648 of 75497472…"}, State: messages.StateReady,
		},
		"hive": messages.HiveInfo{
			HiveID: hiveID, Version: "0.1.0", Platform: "linux/amd64", Devices: devices(), Workers: 2, JobsRunning: 1, JobsWaiting: 3,
			Queue: "rbee-hive-gpu-1", StartedAt: noon,
		},
		"hive_devices_unknown": messages.HiveInfo{
			HiveID: hiveID, Version: "0.1.0", Platform: "linux/amd64", Devices: devices()[:1], StartedAt: noon,
			DevicesProblem: "nvidia-smi: exit status 9: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
		},
		"event":               jobEvent(),
		"event_complete":      completeEvent(),
		"event_failed":        failedEvent(),
		"event_every_field":   everyFieldEvent(),
		"event_loading":       loadingEvent(),
		"event_sigterm":       sigtermEvent(),
		"event_deleted":       deletedEvent(),
		"event_worker":        exitEvent(),
		"event_worker_killed": killedEvent(),
		"event_hive":          hiveEvent(),
		"event_hive_drains":   drainEvent(),
		"heartbeat":           messages.Heartbeat{Worker: workerInfo(), Timestamp: after(30_000)},
		"heartbeat_no_hive":   messages.Heartbeat{Worker: strangerInfo(), Timestamp: after(30_000)},
	}
}

// devices are those of a machine with two GPUs.
func devices() []messages.Device {
	return []messages.Device{
		{Device: "cpu", Kind: "cpu", Name: "AMD EPYC 9124 16-Core Processor", MemoryBytes: 270_042_996_736, Cores: 32},
		{
			Device: "cuda:0", Kind: "cuda", Name: "NVIDIA H100 80GB HBM3", UUID: "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
			MemoryBytes: 85_520_809_984, MemoryUsedBytes: new(int64(4_194_304)),
		},
		{
			Device: "cuda:1", Kind: "cuda", Index: 1, Name: "NVIDIA A100-SXM4-40GB", UUID: "GPU-ec845691-fb46-e16d-abfb-b135308cb39f",
			MemoryBytes: 42_949_672_960, MIG: true,
		},
	}
}

// tried is where a hive without a development tree looks for a worker.
func tried() []string {
	return []string{
		catalog + "/cpu-llm-worker-rbee-v*-linux-amd64/cpu-llm-worker-rbee", catalog + "/cpu-llm-worker-rbee-v*-linux/cpu-llm-worker-rbee",
	}
}

func exitFailure() messages.Error {
	const last = "cuda-llm-server: error while loading shared libraries: libcudart.so.12: cannot open shared object file: No such file or directory"
	code := 127
	return messages.Error{
		Code: messages.WorkerExited, Message: "cuda-llm-worker-rbee exited with code 127 after 12ms: " + last, ExitCode: &code,
		LogTail: []string{"loading meta-llama/Llama-3-8b", last},
	}
}

// jobEvent is an event inside a job.
func jobEvent() messages.Event {
	return messages.Event{
		Type: messages.EventType, ID: "01a20320-a211-7d10-8b7e-0c1f2a3b4c5d", Seq: 6, Time: after(17).Add(141_592 * time.Nanosecond),
		Level: messages.LevelInfo, Actor: messages.Actor, Action: messages.ActionSpawned, Target: workerID, HiveID: hiveID,
		JobID: jobID, WorkerID: workerID, Attempt: 1,
		Human:  "✅ Worker 'worker-abc123' spawned (PID: 12345, port: 9001)",
		Fields: messages.Fields{Port: 9001, PID: 12345, LogPath: logPath},
	}
}

// completeEvent is the last event of a job that succeeded.
func completeEvent() messages.Event {
	e := jobEvent()
	e.Seq, e.ID, e.Time, e.Terminal = 7, "01a20320-a211-7d3a-9c02-5d0f3c2b1a63", after(17).Add(173_205*time.Nanosecond), true
	e.Action, e.Human = messages.ActionSpawnComplete, "✅ Worker spawned: worker-abc123 (PID: 12345)"
	e.Fields = messages.Fields{
		Model: model, Device: "cuda:0", Port: 9001, WorkerType: cudaType, BinaryPath: cudaBin, Source: "catalog",
		Worker: "cuda-llm-worker-rbee", Version: "0.1.0", PID: 12345, LogPath: logPath, TookMS: 17,
	}
	return e
}

// everyFieldEvent has a value in every field, which no event of a hive has, so that no field escapes the encoder.
func everyFieldEvent() messages.Event {
	exited, code := exitFailure(), 1
	e := completeEvent()
	e.ID, e.Seq = "01a20320-a211-7d4e-8f11-5d0f3c2b1a64", 8
	e.Fields.Args = []string{
		"--worker-id", workerID, "--model", model, "--device", "cuda:0", "--port", "9001", "--queen-url", queenURL,
	}
	e.Fields.StartedBy, e.Fields.ExitCode, e.Fields.Signal, e.Fields.Error = jobID, &code, "SIGKILL", &exited
	e.Fields.Platform, e.Fields.Jobs = "linux/amd64", 2
	e.Fields.Processes, e.Fields.GraceMS, e.Fields.LogBytes, e.Fields.CPUMS, e.Fields.OOMKilled = 3, 10_000, 4193, 1840, true
	e.Fields.StaleFile, e.Fields.DroppedLines = "/home/dev/src/bin/30_cpu_llm_worker_rbee/src/main.rs", 120
	return e
}

// loadingEvent is told while a worker loads its model.
func loadingEvent() messages.Event {
	e := jobEvent()
	e.Seq, e.ID, e.Time = 7, "01a20320-cb28-7d3a-9c02-5d0f3c2b1a65", after(10_536).Add(112_358*time.Nanosecond)
	e.Action, e.Human = messages.ActionLoading, "Worker 'worker-abc123' has been loading for 11s: it has computed for 1.8s and written 4193 bytes to its log"
	e.Fields = messages.Fields{PID: 12345, Port: 9001, TookMS: 10_519, LogBytes: 4193, CPUMS: 1840}
	return e
}

// deleteID is the job that deletes the worker of the samples.
const deleteID = "job-01a20359-6e88-7c3e-9a54-5d0f3c2b1a01"

func fullDelete() messages.DeleteJob {
	return messages.DeleteJob{
		Operation: messages.WorkerDelete, JobID: deleteID, HiveID: hiveID, WorkerID: workerID, PID: 12345, GraceMS: 30_000,
		Deadline: after(3_780_000),
	}
}

// sigtermEvent is a step of a delete.
func sigtermEvent() messages.Event {
	return messages.Event{
		Type: messages.EventType, ID: "01a20359-6e8a-7d10-8b7e-0c1f2a3b4c63", Seq: 2, Time: after(3_722_378).Add(577_215 * time.Nanosecond),
		Level: messages.LevelInfo, Actor: messages.Actor, Action: messages.ActionDeleteSigterm, Target: workerID, HiveID: hiveID,
		JobID: deleteID, WorkerID: workerID, Attempt: 1,
		Human:  "SIGTERM sent to 3 processes of worker 'worker-abc123'",
		Fields: messages.Fields{Signal: "SIGTERM", Processes: 3},
	}
}

// deletedEvent is the last event of a delete that succeeded.
func deletedEvent() messages.Event {
	e := sigtermEvent()
	e.Seq, e.ID, e.Time, e.Terminal = 3, "01a20359-6edf-7d10-8b7e-0c1f2a3b4c64", after(3_722_463).Add(301_030*time.Nanosecond), true
	e.Action, e.Human = messages.ActionDeleteComplete, "✅ Worker deleted: worker-abc123 (PID: 12345): SIGTERM ended 3 processes in 84 ms"
	e.Fields = messages.Fields{PID: 12345, TookMS: 84, ExitCode: new(0), Signal: "SIGTERM", Processes: 3}
	return e
}

func readyWorker() messages.Worker {
	return messages.Worker{
		WorkerID: workerID, JobID: jobID, PID: 12345, State: messages.StateReady, Model: model, Device: "cuda:0", Port: 9001,
		Worker: "cuda-llm-worker-rbee", WorkerType: cudaType, Version: "0.1.0", BinaryPath: cudaBin, StartedAt: started,
		UptimeMS: 3_722_374, RSSBytes: 2_147_483_648, CPUMS: 184_020, Threads: 41, Processes: 3, LogPath: logPath,
	}
}

func exitedWorker() messages.Worker {
	failure := outOfMemory()
	return messages.Worker{
		WorkerID: "worker-abc124", JobID: jobID, PID: 12399, State: messages.StateExited, Model: model, Device: "cpu", Port: 9002,
		Worker: "cpu-llm-worker-rbee", WorkerType: "CpuLlm", Version: "0.1.0", BinaryPath: failure.Command[0], StartedAt: started,
		EndedAt: started.Add(4_217 * time.Millisecond), UptimeMS: failure.LivedMS, LogPath: failure.LogPath, ExitCode: failure.ExitCode,
		Signal: failure.Signal, OOMKilled: failure.OOMKilled, Failure: failure,
	}
}

// endedWorker is a worker that served and then ended by itself.
func endedWorker() messages.Worker {
	w := readyWorker()
	w.State, w.ExitCode, w.EndedAt, w.UptimeMS = messages.StateExited, new(1), after(3_723_453), 3_723_450
	w.RSSBytes, w.CPUMS, w.Threads, w.Processes = 0, 0, 0, 0
	return w
}

// outOfMemory is a failure of which all is known that can be.
func outOfMemory() *messages.Error {
	const log = "/var/log/rbee/worker-abc124." + jobID + ".log"
	return &messages.Error{
		Code: messages.WorkerExited, Signal: "SIGKILL", OOMKilled: true, LivedMS: 4_217, LogPath: log,
		Message: "cpu-llm-worker-rbee was ended by SIGKILL after 4.217s: the kernel ended it because memory ran out; its last output: loading shard 3 of 4",
		LogTail: []string{"loading shard 1 of 4", "loading shard 2 of 4", "loading shard 3 of 4"},
		Command: []string{
			catalog + "/cpu-llm-worker-rbee-v0.1.0-linux/cpu-llm-worker-rbee", "--worker-id", "worker-abc124", "--model", model, "--device", "cpu",
			"--port", "9002", "--queen-url", queenURL,
		},
	}
}

// failedEvent is the last event of a job that failed.
func failedEvent() messages.Event {
	exited := exitFailure()
	e := jobEvent()
	e.Seq, e.ID, e.Time = 7, "01a20320-a20f-7d10-8b7e-0c1f2a3b4c5e", after(15).Add(204_119*time.Nanosecond)
	e.Terminal, e.Level = true, messages.LevelError
	e.Action = messages.ActionSpawnFailed
	e.Human = "❌ Worker 'worker-abc123' not spawned: worker_exited: " + exited.Message
	e.Fields = messages.Fields{Error: &exited, TookMS: 15}
	return e
}

// exitEvent is about a worker whose job was answered long ago.
func exitEvent() messages.Event {
	code := 1
	return messages.Event{
		Type: messages.EventType, ID: "01a20359-72bd-7d10-8b7e-0c1f2a3b4c5f", Time: after(3_723_453).Add(102_938 * time.Nanosecond),
		Level: messages.LevelWarn, Actor: messages.Actor, Action: messages.ActionExited, Target: workerID, HiveID: hiveID,
		WorkerID: workerID, Human: "Worker 'worker-abc123' (PID: 12345) exited with code 1 after 1h2m3.45s",
		Fields: messages.Fields{Port: 9001, PID: 12345, LogPath: logPath, StartedBy: jobID, TookMS: 3_723_450, ExitCode: &code},
	}
}

// hiveEvent is about the hive itself.
func hiveEvent() messages.Event {
	return messages.Event{
		Type: messages.EventType, ID: "01a20320-a200-7d10-8b7e-0c1f2a3b4c60", Time: noon,
		Level: messages.LevelInfo, Actor: messages.Actor, Action: messages.ActionHiveStarted, Target: hiveID, HiveID: hiveID,
		Human:  "Hive 'gpu-1' takes jobs (0.1.0, linux/amd64)",
		Fields: messages.Fields{Version: "0.1.0", Platform: "linux/amd64"},
	}
}

func drainEvent() messages.Event {
	e := hiveEvent()
	e.ID, e.Time, e.Action = "01a20322-0190-7d10-8b7e-0c1f2a3b4c61", after(90_000), messages.ActionHiveDraining
	e.Human = "Hive 'gpu-1' takes no new jobs; finishing 2"
	e.Fields = messages.Fields{Jobs: 2}
	return e
}

// killedEvent is about a worker that a signal ended.
func killedEvent() messages.Event {
	e := exitEvent()
	e.ID, e.Time = "01a20320-b5a0-7d10-8b7e-0c1f2a3b4c62", after(5_024).Add(61_803*time.Nanosecond)
	e.Human = "Worker 'worker-abc123' (PID: 12345) was ended by SIGKILL after 5.021s"
	e.Fields.ExitCode, e.Fields.Signal, e.Fields.TookMS = nil, "SIGKILL", 5_021
	return e
}

func workerInfo() messages.WorkerInfo {
	return messages.WorkerInfo{
		ID: workerID, ModelID: model, Device: "cuda:0", Port: 9001, Status: messages.StatusReady,
		Implementation: "llm-worker", Version: "0.1.0", PID: 12345, HiveID: hiveID, Host: "gpu-1.example.net",
	}
}

// strangerInfo is of a worker that no hive started.
func strangerInfo() messages.WorkerInfo {
	info := workerInfo()
	info.Status, info.PID, info.HiveID, info.Host = messages.StatusBusy, 0, "", ""
	return info
}

// headerSets returns the headers of each kind of answer, by the name of the golden file.
func headerSets() map[string][][2]string {
	ids := [][2]string{{messages.HeaderJobID, jobID}, {messages.HeaderHiveID, hiveID}}
	with := func(more ...[2]string) [][2]string { return append(ids[:len(ids):len(ids)], more...) }
	return map[string][][2]string{
		"headers_result":          ids,
		"headers_result_replayed": with([2]string{messages.HeaderReplayed, "true"}),
		"headers_failure": with(
			[2]string{messages.HeaderError, exitFailure().Message},
			[2]string{messages.HeaderErrorCode, strconv.Itoa(messages.WorkerExited.Status())},
		),
	}
}
