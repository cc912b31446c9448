//go:build unix

package binary

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Mounting takes privileges that a test does not have, so the reason alone is tested.
func TestWhyNotExecutable(t *testing.T) {
	t.Parallel()
	require.Contains(t, whyNotExecutable(0o755, true, syscall.EACCES), "noexec")
	require.Contains(t, whyNotExecutable(0o644, false, syscall.EACCES), "mode 0644")
	require.Contains(t, whyNotExecutable(0o700, false, syscall.EACCES), "by this user (mode 0700): permission denied")
	require.False(t, onNoexecMount(t.TempDir()))
}
