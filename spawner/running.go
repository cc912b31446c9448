package spawner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// Running returns what the living workers of a run directory were started as, also beside a hive at work. Of one that is just
// being started only the id is known. Root may ask it of any user's directory. A directory that is not there holds none.
func Running(runDir string) ([]messages.Result, error) {
	if _, err := os.Stat(filepath.Join(runDir, "workers")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	run, err := process.PeekRunDir(runDir)
	if err != nil {
		return nil, err
	}
	ids, err := run.Workers()
	if err != nil {
		return nil, err
	}
	var living []messages.Result
	for _, id := range ids {
		held, err := run.Held(id)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("worker %s: %w", id, err)
		}
		rec, err := readRecord(run, id)
		switch {
		case err == nil && (held || rec.Process.Alive()):
			living = append(living, rec.Result)
		case err != nil && held:
			living = append(living, messages.Result{WorkerID: id})
		}
	}
	return living, nil
}
