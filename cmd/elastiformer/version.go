package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker (see the Makefile). Without it they come from what the Go tool recorded.
var (
	version string
	commit  string
)

// versionOptions has no flags of its own.
type versionOptions struct {
	globalOptions
}

// buildDescription says what this binary was made from.
type buildDescription struct {
	Schema   int    `json:"schema"`
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:         "version",
		Short:       "Print version, commit, Go version and platform",
		Example:     "  elastiformer version\n  elastiformer version --json",
		Annotations: exitStatus(),
		Args:        cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runVersion(cmd.Context(), versionOptions{g.globalOptions}, g.streams)
		},
	}
}

func runVersion(_ context.Context, opts versionOptions, std streams) error {
	info, _ := debug.ReadBuildInfo() // nil if the binary was built without module support
	b := describeBuild(info)
	if opts.json {
		return writeJSON(std.out, b)
	}
	_, err := fmt.Fprintf(std.out, "elastiformer %s (commit %s, %s, %s)\n", b.Version, b.Commit, b.Go, b.Platform)
	if err != nil {
		return fmt.Errorf("version: %w", err)
	}
	return nil
}

// describeBuild prefers what the linker set over what the Go tool recorded; what neither knows is "unknown".
func describeBuild(info *debug.BuildInfo) buildDescription {
	b := buildDescription{
		Schema:   schemaVersion,
		Version:  version,
		Commit:   commit,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info != nil {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && b.Commit == "" {
				b.Commit = s.Value
			}
		}
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}
