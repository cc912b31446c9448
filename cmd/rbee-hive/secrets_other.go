//go:build !linux

package main

import "log/slog"

// hideEnvironment does nothing: the system does not show the environment of a process to others.
func hideEnvironment(*slog.Logger) {}

// keepDescriptors does nothing: the system has no such call.
func keepDescriptors(*slog.Logger) {}
