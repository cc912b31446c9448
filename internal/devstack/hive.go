package devstack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// hive is one run of the hive.
type hive struct {
	nc      *nats.Conn
	workers *spawner.Spawner
	task    *task
}

// StartHive starts the hive and returns once it takes jobs. Start has done so; this is for after [Stack.StopHive].
func (s *Stack) StartHive(ctx context.Context) error {
	catalogDir, devRoot, err := s.cfg.workersFrom()
	if err != nil {
		return err
	}
	nc, err := nats.Connect(s.nats.URL(), nats.Name("rbee-hive "+s.cfg.HiveID), nats.MaxReconnects(-1),
		nats.PermissionErrOnSubscribe(true), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.cfg.Logger.Warn("NATS reports an error", "err", err)
		}))
	if err != nil {
		return fmt.Errorf("connect hive: %w", err)
	}
	narrator := consumer.NewNarrator(nc, s.cfg.Subjects, s.cfg.HiveID, s.cfg.Logger)
	workers, err := spawner.New(spawner.Config{
		HiveID: s.cfg.HiveID, CatalogDir: catalogDir, DevRoot: devRoot, Rebuild: spawner.Rebuild{On: devRoot != ""}, RunDir: filepath.Join(s.cfg.Dir, "run"),
		LogDir: filepath.Join(s.cfg.Dir, "logs"), WorkDir: s.cfg.Dir, QueenURL: s.queenURL, Ports: s.cfg.Ports.PortRange,
		Watch: 100 * time.Millisecond, PassEnv: s.cfg.PassEnv, Exited: narrator.Narrate, Logger: s.cfg.Logger,
	})
	if err != nil {
		nc.Close()
		return fmt.Errorf("start hive: %w", err)
	}
	ready := make(chan struct{})
	s.hive = &hive{nc: nc, workers: workers, task: startTask(ctx, func(ctx context.Context) error {
		return consumer.Run(ctx, nc, workers, consumer.Config{
			HiveID: s.cfg.HiveID, Subjects: s.cfg.Subjects, Version: s.cfg.Version, Logger: s.cfg.Logger,
			DrainTimeout: 5 * time.Second, Queue: consumer.QueueAuto, Machine: func(ctx context.Context) consumer.Machine {
				devices, problem := workers.Devices(ctx)
				return consumer.Machine{Devices: devices, Problem: problem, Workers: workers.Living()}
			}, Ready: func() { close(ready) },
		})
	})}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), s.StopHive())
	case <-s.hive.task.done:
		return fmt.Errorf("start hive: %w", s.StopHive())
	}
}

// workersFrom returns where the hive finds workers: in the catalog of the state directory, or in a development tree.
func (c Config) workersFrom() (catalogDir, devRoot string, err error) {
	if c.DevRoot == "" {
		return CatalogDir(c.Dir), "", nil
	}
	devRoot, err = devtree.Base(c.DevRoot)
	if err != nil {
		err = fmt.Errorf("development tree: %w", err)
	}
	return "", devRoot, err
}

// StopHive stops the hive and returns once it has ended; NATS, the queen and the workers go on. Without a hive it does
// nothing.
func (s *Stack) StopHive() error {
	h := s.hive
	if h == nil {
		return nil
	}
	s.hive = nil
	err := h.task.stop()
	err = errors.Join(err, h.workers.Close())
	h.nc.Close()
	return err
}
