package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

func TestEveryPackageImportsOnlyWhatItsRoomMay(t *testing.T) {
	t.Parallel()
	packages, err := Read(root)
	require.NoError(t, err)
	for _, fault := range Check(Rooms(), packages) {
		t.Error(fault)
	}
}

func TestCommandsReachOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	packages, err := Read(root)
	require.NoError(t, err)
	for _, pkg := range packages {
		if !strings.HasPrefix(pkg.Path, "cmd/") {
			continue
		}
		t.Run(pkg.Path, func(t *testing.T) {
			t.Parallel()
			list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+pkg.Path)
			list.Dir = root
			list.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
			var stderr strings.Builder
			list.Stderr = &stderr
			deps, err := list.Output()
			require.NoError(t, err, stderr.String())
			for _, fault := range CheckReach(Unreachable(), pkg.Path, strings.Fields(string(deps))) {
				t.Error(fault)
			}
		})
	}
}

func TestTheDocumentTellsTheSameTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	require.NoError(t, err)
	want := map[string][]string{}
	for room, rules := range Rooms() {
		for _, rule := range rules {
			want[room] = append(want[room], short(rule))
		}
		slices.Sort(want[room])
	}
	require.Equal(t, want, documented(string(text)))
}

var code = regexp.MustCompile("`([^`]+)`")

// documented returns the rooms of a page: the first cell of each row of the tables below its heading "Rooms" and the
// names in code style of the row's last cell.
func documented(page string) map[string][]string {
	_, section, _ := strings.Cut(page, "\n## Rooms\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rooms := map[string][]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		room := code.FindStringSubmatch(cells[0])
		if len(cells) != 3 || room == nil {
			continue
		}
		rules := []string{}
		for _, rule := range code.FindAllStringSubmatch(cells[2], -1) {
			rules = append(rules, rule[1])
		}
		slices.Sort(rules)
		rooms[room[1]] = rules
	}
	return rooms
}

func TestCheck(t *testing.T) {
	t.Parallel()
	rooms := map[string][]string{
		"messages":     {"std", uuid},
		"spawner":      {"std", "messages", "spawner/..."},
		"spawner/deep": {"std", sys},
		"consumer":     {"std", "messages", natsGo},
		"bench":        {"*"},
	}
	good := []Package{
		{"bench", []string{natsServer + "/server", Module + "/consumer"}},
		{"consumer", []string{"context", natsGo, natsGo + "/micro", Module + "/messages"}},
		{"messages", []string{"encoding/json", uuid}},
		{"spawner", []string{"os", Module + "/messages", Module + "/spawner/deep"}},
		{"spawner/deep", []string{"syscall", sys + "/unix"}},
	}
	with := func(path string, imports ...string) []Package {
		packages := slices.DeleteFunc(slices.Clone(good), func(p Package) bool { return p.Path == path })
		return append(packages, Package{path, imports})
	}
	tests := map[string]struct {
		packages []Package
		fault    string
	}{
		"all is well":                      {good, ""},
		"a room across":                    {with("consumer", Module+"/spawner"), "consumer may not import " + Module + "/spawner"},
		"a sub-room of another":            {with("consumer", Module+"/spawner/deep"), "consumer may not import"},
		"the room above":                   {with("spawner/deep", Module+"/spawner"), "spawner/deep may not import"},
		"a name that only begins the same": {with("spawner", Module+"/spawnerx"), "spawner may not import"},
		"another module":                   {with("spawner", natsGo), "spawner may not import " + natsGo},
		"a module that begins the same":    {with("consumer", natsGo+"x"), "consumer may not import"},
		"a package without a row":          {with("extra"), "extra has no row: add it to the rooms of docs/architecture.md"},
		"a row without a package":          {good[1:], "bench has a row but no Go file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := Check(rooms, test.packages)
			if test.fault == "" {
				require.Empty(t, faults)
				return
			}
			require.Len(t, faults, 1)
			require.Contains(t, faults[0], test.fault)
		})
	}
}

func TestCheckReach(t *testing.T) {
	t.Parallel()
	unreachable := map[string][]string{"testing": nil, natsServer: {"cmd/rbee"}}
	deps := []string{"os", "testing/iotest", "internal/testlog", natsServer + "/server"}

	require.Len(t, CheckReach(unreachable, "cmd/rbee-hive", deps), 2)

	faults := CheckReach(unreachable, "cmd/rbee", deps)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0], "cmd/rbee may not depend on testing/iotest")
}

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{
		"a/a.go":             `package a; import ("os"; "fmt")`,
		"a/a_windows.go":     `package a; import "golang.org/x/sys/windows"`,
		"a/a_test.go":        `package a; import "testing"`,
		"a/testdata/t.go":    `package t; import "net"`,
		"a/b/b.go":           `package b; import "fmt"`,
		"tests/only_test.go": `package tests; import "testing"`,
		"other/go.mod":       `module other`,
		"other/other.go":     `package other; import "net"`,
		".hidden/h.go":       `package h; import "net"`,
	}
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}

	packages, err := Read(dir)
	require.NoError(t, err)
	require.Equal(t, []Package{
		{"a", []string{"fmt", "golang.org/x/sys/windows", "os"}},
		{"a/b", []string{"fmt"}},
	}, packages)
}
