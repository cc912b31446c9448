package porttest_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/porttest"
)

// Whatever is leased at the same time is apart, and nobody listens there.
func TestLeasesAreApart(t *testing.T) {
	t.Parallel()
	leased := map[int]bool{}
	for _, ports := range []int{1, 49, 50, 98, 99, 400, 1, 1, 1} {
		first, last := porttest.Lease(t, ports)
		free := 0
		for port := first; port <= last; port++ {
			require.False(t, leased[port], port)
			leased[port] = true
			if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				free++
				require.NoError(t, listener.Close())
			}
		}
		require.GreaterOrEqual(t, free, ports)
	}
}

func TestALeaseEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var first int
	t.Run("leased", func(t *testing.T) { first = porttest.One(t) })
	lease, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first-1))
	if err == nil { // or another test has it already
		require.NoError(t, lease.Close())
	}
	_, _, release, err := porttest.LeaseUntil(1)
	require.NoError(t, err)
	release()
	release()
}
