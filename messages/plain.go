package messages

import "time"

// decodePlain reads a job that is written as most programs write one: an object of known names, each once, with strings
// that hold nothing to unescape and whole numbers. It reports false for any other; [decodeStrict] reads that, or says what
// is wrong with it. It accepts nothing that decodeStrict does not, reads it as that does, and takes a tenth of the time.
func decodePlain(data []byte, job *Job) bool {
	p := plainReader{data: data}
	if len(data) > MaxPayload || !p.take('{') {
		return false
	}
	var read Job
	var seen uint
	for more := !p.take('}'); more; {
		name, ok := p.text()
		if !ok || !p.take(':') {
			return false
		}
		at, ok := p.field(&read, name)
		if !ok || seen&at != 0 {
			return false
		}
		seen |= at
		switch {
		case p.take(','):
		case p.take('}'):
			more = false
		default:
			return false
		}
	}
	if p.skip(); p.at != len(data) {
		return false
	}
	*job = read
	return true
}

// plainReader stands at some byte of a JSON text.
type plainReader struct {
	data []byte
	at   int
}

// field reads the value of one field of a job, and returns the bit that stands for the field.
func (p *plainReader) field(job *Job, name []byte) (bit uint, ok bool) {
	switch string(name) {
	case "operation":
		return 1 << 0, readText(p, &job.Operation)
	case "job_id":
		return 1 << 1, readText(p, &job.JobID)
	case "hive_id":
		return 1 << 2, readText(p, &job.HiveID)
	case "model":
		return 1 << 3, readText(p, &job.Model)
	case "device":
		return 1 << 4, readText(p, &job.Device)
	case "worker_id":
		return 1 << 5, readText(p, &job.WorkerID)
	case "worker":
		return 1 << 6, readText(p, &job.Worker)
	case "version":
		return 1 << 7, readText(p, &job.Version)
	case "port":
		return 1 << 8, readNumber(p, &job.Port)
	case "queen_url":
		return 1 << 9, readText(p, &job.QueenURL)
	case "wait":
		return 1 << 10, readText(p, &job.Wait)
	case "ready_timeout_ms":
		return 1 << 11, readNumber(p, &job.ReadyTimeoutMS)
	case "deadline":
		return 1 << 12, p.moment(&job.Deadline)
	}
	return 0, false
}

func readText[T ~string](p *plainReader, to *T) bool {
	text, ok := p.text()
	*to = T(text)
	return ok
}

// readNumber reads a whole number of at most nine digits, which fits every integer.
func readNumber[T int | int64](p *plainReader, to *T) bool {
	p.skip()
	begin := p.at
	var n T
	for p.at < len(p.data) && p.data[p.at] >= '0' && p.data[p.at] <= '9' {
		n = 10*n + T(p.data[p.at]-'0')
		p.at++
	}
	digits := p.at - begin
	if digits == 0 || digits > 9 || digits > 1 && p.data[begin] == '0' {
		return false
	}
	if p.at < len(p.data) {
		switch p.data[p.at] {
		case '.', 'e', 'E':
			return false
		}
	}
	*to = n
	return true
}

func (p *plainReader) moment(to *time.Time) bool {
	text, ok := p.text()
	if !ok {
		return false
	}
	return to.UnmarshalText(text) == nil
}

// text reads a string of printable ASCII without a backslash.
func (p *plainReader) text() ([]byte, bool) {
	if !p.take('"') {
		return nil, false
	}
	for begin := p.at; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '"':
			p.at++
			return p.data[begin : p.at-1], true
		case c < ' ', c > '~', c == '\\':
			return nil, false
		}
	}
	return nil, false
}

// take passes over white space and, if it comes next, the byte c; only then does it report true.
func (p *plainReader) take(c byte) bool {
	p.skip()
	if p.at < len(p.data) && p.data[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *plainReader) skip() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}
