package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// ErrInterrupted is the cause of a context that a signal ended.
var ErrInterrupted = errors.New("interrupted")

// WithSignals returns a context that the first SIGINT, SIGTERM or SIGHUP ends, with the cause [ErrInterrupted]. The second
// one calls last, if it is not nil, and ends the process with [ExitInterrupted]. A SIGHUP that the process was started
// to ignore (nohup) stays ignored. The caller must call stop when its work is done.
func WithSignals(parent context.Context, last func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for range 2 {
			select {
			case <-done:
				return
			case <-signals:
			}
			if ctx.Err() != nil && errors.Is(context.Cause(ctx), ErrInterrupted) {
				if last != nil {
					last()
				}
				os.Exit(ExitInterrupted)
			}
			cancel(ErrInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		<-ended
		cancel(nil)
	}
}

// UntilInterrupted turns the error of work that goes on until a signal comes into nil: the signal is its proper end.
func UntilInterrupted(ctx context.Context, err error) error {
	ended := errors.Is(err, ErrInterrupted) || errors.Is(err, context.Canceled)
	if ended && errors.Is(context.Cause(ctx), ErrInterrupted) {
		return nil
	}
	return err
}
