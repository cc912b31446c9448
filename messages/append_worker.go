package messages

// AppendJSON appends the worker to dst as encoding/json would write it, to the byte.
func (w Worker) AppendJSON(dst []byte) ([]byte, error) {
	o := object{dst: append(dst, '{')}
	o.text("worker_id", w.WorkerID)
	o.text("job_id", w.JobID)
	o.number("pid", int64(w.PID))
	o.text("state", string(w.State))
	o.text("model", w.Model)
	o.text("device", w.Device)
	o.number("port", int64(w.Port))
	o.text("worker", w.Worker)
	o.text("worker_type", w.WorkerType)
	o.textIfAny("version", w.Version)
	o.text("binary_path", w.BinaryPath)
	o.momentIfAny("started_at", w.StartedAt)
	o.momentIfAny("ended_at", w.EndedAt)
	o.number("uptime_ms", w.UptimeMS)
	o.numberIfAny("rss_bytes", w.RSSBytes)
	o.numberIfAny("cpu_ms", w.CPUMS)
	o.numberIfAny("threads", int64(w.Threads))
	o.numberIfAny("processes", int64(w.Processes))
	o.text("log_path", w.LogPath)
	if w.ExitCode != nil {
		o.number("exit_code", int64(*w.ExitCode))
	}
	o.textIfAny("signal", w.Signal)
	if w.OOMKilled {
		o.truth("oom_killed", true)
	}
	if w.Failure != nil {
		o.value("failure", w.Failure)
	}
	o.dst = append(o.dst, '}')
	return o.dst, o.err
}

// AppendJSON appends the page to dst as encoding/json would write it, to the byte, without reflection: a hive with a hundred
// workers is asked for them again and again.
func (p WorkerPage) AppendJSON(dst []byte) ([]byte, error) {
	o := object{dst: append(dst, '{')}
	o.text("hive_id", p.HiveID)
	o.name("workers")
	if p.Workers == nil {
		o.dst = append(o.dst, "null"...)
	} else {
		o.dst = append(o.dst, '[')
		for i := range p.Workers {
			if i > 0 {
				o.dst = append(o.dst, ',')
			}
			var err error
			if o.dst, err = p.Workers[i].AppendJSON(o.dst); err != nil {
				return o.dst, err
			}
		}
		o.dst = append(o.dst, ']')
	}
	o.text("next", p.Next)
	o.dst = append(o.dst, '}')
	return o.dst, o.err
}
