package messages_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/messages"
)

func TestDevicesText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "cpu,cuda:0=NVIDIA H100 80GB HBM3,cuda:1=NVIDIA A100-SXM4-40GB", messages.DevicesText(devices()))
	require.Empty(t, messages.DevicesText(nil))
	odd := []messages.Device{{Device: "cuda:0", Kind: "cuda", Name: "a,b=c\n d "}, {Device: "metal", Kind: "metal"}}
	require.Equal(t, "cuda:0=a b c d,metal", messages.DevicesText(odd))
	require.Equal(t, []messages.Device{
		{Device: "cpu", Kind: "cpu"}, {Device: "cuda:0", Kind: "cuda", Name: "NVIDIA H100 80GB HBM3"}, {Device: "tpu:3", Kind: "tpu", Index: 3},
	}, messages.ParseDevices("cpu, cuda:0=NVIDIA H100 80GB HBM3,tpu:3,cuda:x,=,,cuda:-1,…"))
	require.Empty(t, messages.ParseDevices(""))
}

// However many devices there are and whatever they are called: the text is bounded, and what it holds is read back.
func TestDevicesTextIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := []messages.Device{{Device: "cpu", Kind: "cpu"}}
		for i := range rapid.IntRange(0, 200).Draw(t, "cards") {
			all = append(all, messages.Device{Device: fmt.Sprint("cuda:", i), Kind: "cuda", Index: i, Name: rapid.StringN(0, 40, 128).Draw(t, "name")})
		}
		text := messages.DevicesText(all)
		require.LessOrEqual(t, len(text), 1024)
		require.True(t, utf8.ValidString(text))
		read := messages.ParseDevices(text)
		require.Equal(t, len(read) < len(all), strings.HasSuffix(text, ",…"))
		for i, device := range read {
			require.Equal(t, all[i].Device, device.Device)
			require.Equal(t, all[i].Index, device.Index)
		}
	})
}
