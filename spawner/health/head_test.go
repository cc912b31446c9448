package health

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// However an answer is cut into pieces, what is read of it is what package net/http reads of the whole.
func FuzzReadHead(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 503 Service Unavailable\n\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204\r\nA: b\r\n c\r\n\r\n",
		"SSH-2.0\r\n", "\r\n\r\n", "\n\n", "HTTP/1.1 200 OK\r\nbad\r\n\r\n", "HTTP/1.1 20x\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 200 OK\r\n \r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, all []byte) {
		if len(all) > 4<<10 {
			return
		}
		want, wantErr := wholeHead(all)
		status, _, more, err := readHead(all, true)
		require.False(t, more && err == nil, "nothing follows")
		require.Equal(t, wantErr == nil, err == nil, "%v, %v", wantErr, err)
		if err == nil {
			require.Equal(t, want, status)
		}
		for cut := range all {
			early, _, more, earlyErr := readHead(all[:cut], false)
			switch {
			case earlyErr != nil:
				require.Error(t, err, "at %d", cut)
			case !more:
				require.NoError(t, err, "at %d", cut)
				require.Equal(t, status, early, "at %d", cut)
			}
		}
	})
}

// wholeHead reads as the client of package net/http does.
func wholeHead(all []byte) (int, error) {
	r := bufio.NewReader(bytes.NewReader(all))
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0, err
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp.StatusCode, nil
		}
	}
}
