package messages

// AppendJSON appends the job to dst as encoding/json would write it, to the byte. It does not validate.
func (j Job) AppendJSON(dst []byte) ([]byte, error) {
	o := object{dst: append(dst, '{')}
	o.text("operation", string(j.Operation))
	o.textIfAny("job_id", j.JobID)
	o.textIfAny("hive_id", j.HiveID)
	o.text("model", j.Model)
	o.text("device", j.Device)
	o.textIfAny("worker_id", j.WorkerID)
	o.textIfAny("worker", j.Worker)
	o.textIfAny("version", j.Version)
	o.numberIfAny("port", int64(j.Port))
	o.textIfAny("queen_url", j.QueenURL)
	o.textIfAny("wait", string(j.Wait))
	o.numberIfAny("ready_timeout_ms", j.ReadyTimeoutMS)
	o.momentIfAny("deadline", j.Deadline)
	if j.DryRun {
		o.truth("dry_run", true)
	}
	o.dst = append(o.dst, '}')
	return o.dst, o.err
}

// AppendJSON appends the result to dst as encoding/json would write it, to the byte.
func (r Result) AppendJSON(dst []byte) ([]byte, error) {
	o := object{dst: append(dst, '{')}
	o.text("job_id", r.JobID)
	o.text("hive_id", r.HiveID)
	o.text("worker_id", r.WorkerID)
	o.number("pid", int64(r.PID))
	o.number("port", int64(r.Port))
	o.text("binary_path", r.BinaryPath)
	o.text("worker_type", r.WorkerType)
	o.text("worker", r.Worker)
	o.textIfAny("version", r.Version)
	o.text("source", r.Source)
	o.text("device", r.Device)
	o.text("model", r.Model)
	o.moment("started_at", r.StartedAt)
	o.text("log_path", r.LogPath)
	o.truth("replayed", r.Replayed)
	if r.Ended {
		o.truth("ended", true)
	}
	o.dst = append(o.dst, '}')
	return o.dst, o.err
}
