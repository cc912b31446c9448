// Package leaktest fails the tests of a package that leave goroutines behind.
package leaktest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long the goroutines that are about to end may take to: nobody is told when those of a server's files do, and a busy machine is
// slow to run any.
const patience = time.Minute

// Main is what a TestMain calls that has nothing else to do: it runs the tests, and fails if goroutines are left behind them.
func Main(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

// patient are tests behind which goroutines have time to end.
type patient struct{ *testing.M }

func (p patient) Run() int {
	code := p.M.Run()
	if code == 0 {
		_ = Find()
	}
	return code
}

// Find returns an error that names the goroutines which are left, but for those that the options say.
func Find(options ...goleak.Option) error {
	for late := time.Now().Add(patience); ; {
		if err := goleak.Find(options...); err == nil || time.Now().After(late) {
			return err
		}
	}
}
