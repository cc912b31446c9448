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
			Message: "cpu-llm-worker-rbee is not installed; install it as one of " + strings.Join(tried(), ", "),
			Tried:   tried(),
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
		"event":               jobEvent(),
		"event_complete":      completeEvent(),
		"event_failed":        failedEvent(),
		"event_every_field":   everyFieldEvent(),
		"event_worker":        exitEvent(),
		"event_worker_killed": killedEvent(),
		"event_hive":          hiveEvent(),
		"event_hive_drains":   drainEvent(),
		"heartbeat":           messages.Heartbeat{Worker: workerInfo(), Timestamp: after(30_000)},
		"heartbeat_no_hive":   messages.Heartbeat{Worker: strangerInfo(), Timestamp: after(30_000)},
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
	return e
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
