//go:build linux && !chaos

package fault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/fault"
)

func TestWithoutTheTagNothingHappens(t *testing.T) {
	t.Parallel()
	out, err := player(fault.Variable + "=test.step").Output()
	require.NoError(t, err)
	require.Equal(t, "step\nstep\nstep\nend\n", string(out))
}
