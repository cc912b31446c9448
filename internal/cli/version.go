package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version is what `version -o json` prints.
type Version struct {
	// Name is the program's name.
	Name string `json:"name"`
	// Version is the program's version.
	Version string `json:"version"`
	// Commit is the commit that it was built from; empty if that is unknown.
	Commit string `json:"commit,omitempty"`
	// Go is the version of Go that built it.
	Go string `json:"go"`
	// Platform is what it was built for, like linux/amd64.
	Platform string `json:"platform"`
}

// VersionOf returns what is known of this program's build. linked is the version that the linker was given, if any.
func VersionOf(name, linked string) Version {
	v := Version{Name: name, Version: linked, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok && v.Version == "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	if v.Version == "" {
		v.Version = "dev"
	}
	if ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				v.Commit = setting.Value
			}
		}
	}
	return v
}

// VersionCommand returns the command that prints v.
func VersionCommand(v Version) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs}
	output := AddOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if output.JSON() {
			return WriteJSON(cmd.OutOrStdout(), v)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s (%s, %s)\n", v.Name, v.Version, v.Platform, v.Go)
		return err
	}
	return cmd
}
