package devtree

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// passed names the variables that a build gets of this process: what compilers, their caches and their downloads need. All
// else stays behind, above all credentials. What is missing belongs into the [env] table of .cargo/config.toml.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
	"CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS",
	"CARGO_BUILD_JOBS", "CARGO_INCREMENTAL", "CARGO_NET_OFFLINE", "CARGO_HTTP_CAINFO", "SCCACHE_DIR", "CCACHE_DIR",
	"CC", "CXX", "AR", "LD", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "MAKEFLAGS", "CMAKE", "PKG_CONFIG", "PKG_CONFIG_PATH",
	"LIBCLANG_PATH", "CUDA_HOME", "CUDA_PATH", "NVCC", "DEVELOPER_DIR", "SDKROOT", "MACOSX_DEPLOYMENT_TARGET",
	"GOPATH", "GOROOT", "GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY", "GOPRIVATE", "GONOSUMDB", "GOSUMDB", "GOTOOLCHAIN", "CGO_ENABLED",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SYSTEMROOT", "SystemRoot", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "TEMP", "TMP", "PATHEXT", "ComSpec",
}

// quiet keeps colours and progress bars, which nobody sees, out of the output.
var quiet = []string{"CARGO_TERM_COLOR=never", "CARGO_TERM_PROGRESS_WHEN=never", "NO_COLOR=1", "TERM=dumb"}

// environment returns what builds get of own, the environment of this process.
func environment(own []string) []string {
	var env []string
	for _, entry := range own {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") {
			env = append(env, entry)
		}
	}
	return append(env, quiet...)
}

// value returns the variable's value in env; empty if it is not there.
func value(env []string, name string) string {
	for _, entry := range slices.Backward(env) {
		if n, v, _ := strings.Cut(entry, "="); n == name {
			return v
		}
	}
	return ""
}

// cargoHome returns where Cargo and what rustup installed are.
func cargoHome(env []string) string {
	if dir := value(env, "CARGO_HOME"); dir != "" {
		return dir
	}
	home := value(env, "HOME")
	if runtime.GOOS == "windows" {
		home = value(env, "USERPROFILE")
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".cargo")
}

// lookPath returns the file that a command means in the PATH of env, and whether it is there. A command with a slash is a file
// below dir.
func lookPath(env []string, command, dir string) (string, bool) {
	if strings.ContainsRune(filepath.ToSlash(command), '/') {
		path := under(dir, command)
		return path, isExecutable(path)
	}
	for _, in := range filepath.SplitList(value(env, "PATH")) {
		if !filepath.IsAbs(in) {
			continue // where that is depends on who asks
		}
		if path := filepath.Join(in, fileName(command)); isExecutable(path) {
			return path, true
		}
	}
	return "", false
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode().Perm()&0o111 != 0)
}
