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
		status, _, more, err := new(head).read(all, true)
		require.False(t, more && err == nil, "nothing follows")
		require.Equal(t, wantErr == nil, err == nil, "%v, %v", wantErr, err)
		if err == nil {
			require.Equal(t, want, status)
		}
		var pieces head
		over := false
		for cut := range all {
			early, _, more, earlyErr := new(head).read(all[:cut], false)
			switch {
			case earlyErr != nil:
				require.Error(t, err, "at %d", cut)
			case !more:
				require.NoError(t, err, "at %d", cut)
				require.Equal(t, status, early, "at %d", cut)
			}
			if over { // nobody reads on
				continue
			}
			got, _, gotMore, gotErr := pieces.read(all[:cut], false)
			require.Equal(t, []any{early, more, earlyErr}, []any{got, gotMore, gotErr}, "at %d", cut)
			over = !more || earlyErr != nil
		}
		if !over {
			got, _, _, gotErr := pieces.read(all, true)
			require.Equal(t, []any{status, err}, []any{got, gotErr})
		}
	})
}

// Of an answer that comes byte by byte, what was read is not read again.
func TestHeadInSmallPieces(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ begins, goesOn string }{
		{"", "HTTP/1.1 100 C\n\n"},
		{"HTTP/1.1 102 C\r\n\r\nHTTP/1.1 200 OK\r\n", "a:b\n"},
		{"HTTP/1.1 200 OK\r\n", "a"},
	} {
		all := []byte(tc.begins)
		for len(all) < mostHead {
			all = append(all, tc.goesOn...)
		}
		var h head
		var err error
		for cut := 1; err == nil && cut <= len(all); cut++ {
			_, _, _, err = h.read(all[:cut], false)
			if h.seen != cut || tc.begins == "" && cut-h.start >= len(tc.goesOn) {
				require.FailNow(t, "it reads again what it read", "%q: %+v of %d", tc.goesOn, h, cut)
			}
		}
		require.ErrorIs(t, err, errLongHead)
	}
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
