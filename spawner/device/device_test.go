package device_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/spawner/device"
)

func TestParse(t *testing.T) {
	t.Parallel()
	cpu, metal := device.Device{Kind: device.CPU}, device.Device{Kind: device.Metal}
	cuda := func(n int) device.Device { return device.Device{Kind: device.CUDA, Index: n} }
	tests := map[string]device.Device{
		"cpu": cpu, "cpu:0": cpu, "CPU-0": cpu, "Cpu": cpu, "cpu-0": cpu,
		"cuda": cuda(0), "cuda:0": cuda(0), "cuda:7": cuda(7), "CUDA:1023": cuda(1023), "cuda-3": cuda(3),
		"gpu": cuda(0), "gpu:1": cuda(1), "GPU-0": cuda(0), "GPU-12": cuda(12), "gPu:5": cuda(5),
		"metal": metal, "metal:0": metal, "METAL-0": metal, "Metal": metal,
	}
	for s, want := range tests {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			got, err := device.Parse(s)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"empty":              "",
		"prefix of a device": "cpufoo",
		"part of a device":   "cu",
		"no number":          "cuda:x",
		"negative":           "cuda:-1",
		"negative by dash":   "cuda--1",
		"no index":           "cuda:",
		"no index by dash":   "gpu-",
		"plus":               "cuda:+1",
		"leading zero":       "cuda:01",
		"double zero":        "cpu:00",
		"past the bound":     "cuda:1024",
		"far past the bound": "cuda:99999",
		"past an int":        "cuda:18446744073709551616",
		"hexadecimal":        "cuda:0x1",
		"underscore":         "cuda:1_0",
		"second processor":   "cpu:1",
		"second metal":       "metal-1",
		"no kind":            ":0",
		"number alone":       "0",
		"space":              " ",
		"leading space":      " cpu",
		"trailing space":     "cpu ",
		"inner space":        "cuda: 0",
		"line feed":          "cuda:0\n",
		"NUL":                "cpu\x00",
		"arabic digit":       "cuda:\u0663",
		"fullwidth digit":    "cuda:\uff11",
		"fullwidth letters":  "\uff43\uff50\uff55",
		"cyrillic letter":    "\u0441pu",
		"two indices":        "cuda:0:1",
		"two separators":     "cuda:-0",
		"other separator":    "cuda.0",
		"a list":             "cuda:0,cuda:1",
		"another vendor":     "rocm:0",
		"not letters":        "@@@",
		"invalid UTF-8":      "cpu\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := device.Parse(s)
			var unsupported *device.UnsupportedError
			require.ErrorAs(t, err, &unsupported)
			require.Equal(t, s, unsupported.Device)
			require.Zero(t, got)
			requireOneLine(t, err.Error())
		})
	}
}

func TestUnsupportedErrorOfALongString(t *testing.T) {
	t.Parallel()
	_, err := device.Parse(strings.Repeat("x", 1<<20))
	require.Less(t, len(err.Error()), 200)
	requireOneLine(t, err.Error())
}

func TestZeroValues(t *testing.T) {
	t.Parallel()
	require.Empty(t, device.Device{}.String())
	require.Empty(t, device.Device{}.WorkerType())
	require.Empty(t, device.WorkerType("").Binary())
	require.False(t, device.WorkerType("").SupportedOn("linux"))
}

func TestWorkerType(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		workerType            device.WorkerType
		wire, binary          string
		linux, darwin, window bool
	}{
		"cpu":    {device.CpuLlm, "CpuLlm", "cpu-llm-worker-rbee", true, true, true},
		"cuda:3": {device.CudaLlm, "CudaLlm", "cuda-llm-worker-rbee", true, false, true},
		"metal":  {device.MetalLlm, "MetalLlm", "metal-llm-worker-rbee", false, true, false},
	}
	for s, test := range tests {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			parsed, err := device.Parse(s)
			require.NoError(t, err)
			got := parsed.WorkerType()
			require.Equal(t, test.workerType, got)
			require.Equal(t, test.wire, string(got))
			require.Equal(t, test.binary, got.Binary())
			require.Equal(t, test.linux, got.SupportedOn("linux"))
			require.Equal(t, test.darwin, got.SupportedOn("darwin"))
			require.Equal(t, test.window, got.SupportedOn("windows"))
		})
	}
}

// Every device that exists is read from each of its spellings, in any mixture of cases, and its canonical form is read
// back as itself.
func TestParseOfEverySpelling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := device.Device{Kind: rapid.SampledFrom([]device.Kind{device.CPU, device.CUDA, device.Metal}).Draw(t, "kind")}
		word := string(want.Kind)
		if want.Kind == device.CUDA {
			want.Index = rapid.IntRange(0, device.MaxIndex).Draw(t, "index")
			word = rapid.SampledFrom([]string{"cuda", "gpu"}).Draw(t, "word")
		}
		if want.Index > 0 || rapid.Bool().Draw(t, "with index") {
			word = fmt.Sprintf("%s%s%d", word, rapid.SampledFrom([]string{":", "-"}).Draw(t, "separator"), want.Index)
		}
		got, err := device.Parse(mixCase(word, rapid.Uint64().Draw(t, "case")))
		require.NoError(t, err)
		require.Equal(t, want, got)

		again, err := device.Parse(want.String())
		require.NoError(t, err)
		require.Equal(t, want, again)
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"cpu", "cpu:0", "CUDA-12", "gpu:1023", "metal", "cuda:01", "cuda:-1", "", "cpu:1", "cuda:\u0663"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := device.Parse(s)
		if err != nil {
			require.ErrorAs(t, err, new(*device.UnsupportedError))
			requireOneLine(t, err.Error())
			return
		}
		require.LessOrEqual(t, len(s), len("metal:1023"))
		require.NotEmpty(t, got.WorkerType().Binary())
		again, err := device.Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
		upper, err := device.Parse(strings.ToUpper(s))
		require.NoError(t, err)
		require.Equal(t, got, upper)
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := device.Parse("CUDA:12"); err != nil {
			b.Fatal(err)
		}
	}
}

func mixCase(s string, seed uint64) string {
	random := rand.New(rand.NewPCG(seed, 0))
	return strings.Map(func(r rune) rune {
		if random.IntN(2) == 0 {
			return unicode.ToUpper(r)
		}
		return r
	}, s)
}

func requireOneLine(t *testing.T, s string) {
	t.Helper()
	require.NotEmpty(t, s)
	require.False(t, strings.ContainsFunc(s, unicode.IsControl), "%q", s)
}
