package spawner

import (
	"fmt"
	"time"

	"github.com/rbee-keeper/hive/spawner/logs"
)

// sayLoading is how often it is told that a worker which loads goes on, unless [Config] says otherwise.
const sayLoading = 5 * time.Second

// progress is how far a worker that loads has come. One that moves is slow, not dead.
type progress struct {
	log int64         // what it has written, in bytes
	cpu time.Duration // what all its processes have computed
}

// progress looks at the worker as it is now.
func (s *Spawner) progress(rec record) progress {
	size, _, err := logs.Progress(rec.Result.LogPath)
	if err != nil {
		size = 0
	}
	m := s.lookAt(rec)
	defer s.seen(m)
	return progress{log: size, cpu: m.table.Usage(rec.Process.Identity).CPU}
}

// String says what was done, as the end of a sentence about it.
func (p progress) String() string {
	return fmt.Sprintf("it has computed for %s and written %d bytes to its log", p.cpu, p.log)
}
