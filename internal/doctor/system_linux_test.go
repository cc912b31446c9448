package doctor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKernel(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]Status{
		"6.18.44-x": OK, "5.4.0": OK, "5.15.0-91-generic": OK, "5.3.18": Failure, "4.19.0-25-amd64": Failure, "nonsense": Warning,
	} {
		require.Equal(t, want, only(t, lines(judgeKernel(release))).Status, release)
	}
	require.Equal(t, OK, only(t, lines(kernel())).Status)
}

func TestProc(t *testing.T) {
	t.Parallel()
	const other = "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw\n"
	for text, want := range map[string]string{
		"22 27 0:21 / /proc rw,relatime - proc proc rw\n" + other:                                                        "shows the processes of all users",
		"22 27 0:21 / /proc rw - proc proc rw,hidepid=invisible\n":                                                       "mounted with hidepid=invisible",
		"22 27 0:21 / /proc rw shared:5 - proc proc rw,hidepid=2\n":                                                      "mounted with hidepid=2",
		"22 27 0:21 / /proc rw - proc proc rw,hidepid=off\n":                                                             "shows the processes of all users",
		"22 27 0:21 / /proc rw - proc proc rw\n30 22 0:30 / /proc rw - proc proc rw,hidepid=ptraceable,subset=pid\n":     "mounted with hidepid=ptraceable",
		"22 27 0:21 / /proc rw - proc proc rw,hidepid=1\n30 22 0:30 / /proc rw - proc proc rw\n":                         "shows the processes of all users",
		"22 27 0:21 / /proc rw - proc proc rw\n30 22 0:30 / /mnt/proc rw - proc proc rw,hidepid=2\nnonsense\n\n - \n/\n": "shows the processes of all users",
	} {
		check := only(t, lines(proc(write(t, "mountinfo", text))))
		require.Equal(t, OK, check.Status)
		require.Contains(t, check.Message, want, text)
	}
	require.Equal(t, Failure, only(t, lines(proc("/missing"))).Status)
}

func TestUser(t *testing.T) {
	t.Parallel()
	require.Equal(t, Warning, only(t, lines(user(0))).Status)
	require.Equal(t, "user 998; run doctor as the user of the hive", only(t, lines(user(998))).Message)
	require.NotEmpty(t, only(t, lines(clock())).Message)
}
