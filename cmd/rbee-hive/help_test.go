package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/helptest"
)

func TestHelpFitsAndLeads(t *testing.T) {
	t.Setenv("HOME", "/root") // which is in defaults
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	pages := helptest.Pages(t, rootCommand(), run)
	require.Greater(t, len(pages), 12)
	helptest.RequireGood(t, "rbee-hive", pages)
	require.Contains(t, pages["serve"], "'rbee-hive help connection'")
}

func TestHelpOfATopic(t *testing.T) {
	t.Parallel()
	helptest.RequireTopic(t, run)
}
