package device

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// What nvidia-smi prints on machines of several kinds, and what is read of it. The names say what is special: "6" in one that
// the driver knows no MIG.
func TestParseSMI(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/smi/*.csv")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 12)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			out, err := os.ReadFile(file)
			require.NoError(t, err)
			gpus, bad := parseSMI(string(out), columnsOf(file))
			requireGolden(t, strings.TrimSuffix(file, ".csv")+".txt", listing(gpus, bad))
		})
	}
}

func columnsOf(file string) int {
	if strings.HasSuffix(file, ".6.csv") {
		return 6
	}
	return len(smiFields)
}

// listing writes down what was read, a line each.
func listing(gpus []Found, bad []string) string {
	var text strings.Builder
	for _, gpu := range gpus {
		used := "?"
		if gpu.Used != nil {
			used = fmt.Sprint(*gpu.Used >> 20)
		}
		fmt.Fprintf(&text, "%s name=%q uuid=%q memory=%d used=%s mig=%t bus=%s\n", gpu, gpu.Name, gpu.UUID, gpu.Memory>>20, used, gpu.MIG, gpu.bus)
	}
	if problem := checkOrder(gpus); problem != "" {
		fmt.Fprintf(&text, "order: %s\n", problem)
	}
	for _, line := range bad {
		fmt.Fprintf(&text, "lost: %s\n", line)
	}
	return text.String()
}

func requireGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run: go test ./spawner/device -update")
	require.Equal(t, string(want), got)
}

// Whatever is printed: what is read is sound, each number is there once, and no line is both read and lost, or neither.
func FuzzParseSMI(f *testing.F) {
	files, err := filepath.Glob("testdata/smi/*.csv")
	require.NoError(f, err)
	for _, file := range files {
		out, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(string(out), columnsOf(file) == len(smiFields))
	}
	f.Add("0,,,,,,\n\x000,GPU-\xff,\u202e,\n,,,,,,,,,,", true)
	f.Fuzz(func(t *testing.T, out string, all bool) {
		n := len(smiFields)
		if !all {
			n--
		}
		gpus, bad := parseSMI(out, n)
		lines := 0
		for line := range strings.Lines(out) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		require.Equal(t, lines, len(gpus)+len(bad))
		last := -1
		for _, gpu := range gpus {
			require.Greater(t, gpu.Index, last)
			last = gpu.Index
			require.LessOrEqual(t, last, MaxIndex)
			again, err := Parse(gpu.String())
			require.NoError(t, err)
			require.Equal(t, gpu.Device, again)
			require.NotEmpty(t, gpu.Name+gpu.UUID)
			require.GreaterOrEqual(t, gpu.Memory, int64(0))
			for _, text := range []string{gpu.Name, gpu.UUID, gpu.bus} {
				requirePrintable(t, text, 128)
			}
		}
		report := Report{}
		for _, line := range bad {
			report.trouble("%s", line)
		}
		require.LessOrEqual(t, len(report.Problems), mostProblems)
		for _, problem := range report.Problems {
			requirePrintable(t, problem, 256)
		}
		_ = checkOrder(gpus)
	})
}

func requirePrintable(t *testing.T, text string, most int) {
	t.Helper()
	require.LessOrEqual(t, len(text), most)
	require.True(t, utf8.ValidString(text), "%q", text)
	require.False(t, strings.ContainsFunc(text, unicode.IsControl), "%q", text)
}

func TestBusKey(t *testing.T) {
	t.Parallel()
	places := []string{"0000:01:00.0", "00000000:0A:00.0", "0000:0b:00.0", "0000:0b:01.0", "0001:00:00.0", "0000000F:01:00.0", "10000:01:00.0"}
	for i := range places {
		for j := range places {
			require.Equal(t, i < j, busKey(places[i]) < busKey(places[j]), "%s and %s", places[i], places[j])
		}
	}
	require.Equal(t, busKey("0000:0B:00.0"), busKey("00000000:0b:00.0"))
}
