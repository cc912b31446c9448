package device

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func cuda(index int) Device { return Device{Kind: CUDA, Index: index} }

// gone is a context that has ended: whoever brings it waits for nothing.
func gone(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestOneLookServesAll(t *testing.T) {
	t.Parallel()
	b := newBox(t, "how", "wait", "out", h100s)
	f := b.finder()
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			report := f.Look(t.Context(), 0)
			if len(cards(report)) != 2 {
				t.Error(report)
			}
		})
	}
	b.await(func() bool { return b.calls() > 0 })
	b.file("go", "now")
	group.Wait()
	require.LessOrEqual(t, b.calls(), 2, "one, and one more for those that came after it")

	before := b.calls()
	for range 3 {
		require.Len(t, cards(f.Look(t.Context(), time.Hour)), 2)
		f.Refresh(time.Hour)
		_, err := f.Find(t.Context(), cuda(1))
		require.NoError(t, err)
		_, err = f.Find(t.Context(), cuda(7))
		require.Error(t, err)
	}
	require.Equal(t, before, b.calls(), "an answer is remembered")
	require.Len(t, cards(f.Look(t.Context(), 0)), 2)
	require.Equal(t, before+1, b.calls())
}

// Who cannot wait gets what is known, and is told that it is not the whole.
func TestWhoCannotWait(t *testing.T) {
	t.Parallel()
	b := newBox(t, "how", "wait", "out", h100s)
	f := b.finder()
	report := f.Look(gone(t), 0)
	require.Equal(t, []string{"cpu"}, report.Names())
	require.Contains(t, report.Problem(), "has not answered yet")
	_, err := f.Find(gone(t), cuda(7))
	var unknown *UnknownError
	require.ErrorAs(t, err, &unknown)
	require.Contains(t, unknown.Error(), "whether this machine has cuda:7 is not known: the driver has been asked")
	b.file("go", "now")
	require.Len(t, cards(f.Look(t.Context(), time.Hour)), 2)

	b.file("go", "")
	report = f.Look(gone(t), 0)
	require.Len(t, cards(report), 2, "as it was before")
	require.False(t, report.Whole)
	require.Contains(t, report.Problem(), "known from 0s ago")
	found, err := f.Find(gone(t), cuda(1))
	require.NoError(t, err, "what was there is there")
	require.Equal(t, "GPU-91672fbd-4bc1-0434-a653-77a9501c84de", found.UUID)
	b.file("go", "now")
	require.Empty(t, f.Look(t.Context(), time.Hour).Problems)
}

func TestFind(t *testing.T) {
	t.Parallel()
	f := newBox(t, "out", h100s).finder()
	_, err := f.Find(t.Context(), cuda(7))
	var missing *NotFoundError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, []string{"cpu", "cuda:0", "cuda:1"}, missing.Devices)
	require.EqualError(t, err, "this machine has no cuda:7; it has cpu, cuda:0, cuda:1")
	found, err := f.Find(t.Context(), Device{Kind: CPU})
	require.NoError(t, err)
	require.Positive(t, found.Cores)
	_, err = f.Find(t.Context(), Device{Kind: Metal})
	require.EqualError(t, err, "this machine has no metal; it has cpu, cuda:0, cuda:1")

	uuid, err := f.UUID(t.Context(), cuda(1))
	require.NoError(t, err)
	require.Equal(t, "GPU-91672fbd-4bc1-0434-a653-77a9501c84de", uuid)
	_, err = f.UUID(t.Context(), cuda(2))
	require.EqualError(t, err, "this machine has no cuda:2; it has cpu, cuda:0, cuda:1")
	_, err = f.UUID(t.Context(), Device{Kind: CPU})
	require.EqualError(t, err, "the UUID of cpu is not known: only NVIDIA's GPUs have one")

	f = newBox(t, "out", "0, [N/A], Orin (nvgpu), [N/A], [N/A], [N/A], [N/A]\n").finder()
	_, err = f.UUID(t.Context(), cuda(0))
	require.EqualError(t, err, "the UUID of cuda:0 is not known: neither nvidia-smi nor the driver tells it")

	f = newBox(t, "out", "some trouble\n", "exit", "9").finder()
	_, err = f.Find(t.Context(), cuda(0))
	require.EqualError(t, err, "whether this machine has cuda:0 is not known: nvidia-smi: exit status 9: some trouble")
}

// nvidia-smi sets up every card first, which may take many seconds; what the driver shows by itself is known by then.
func TestAFirstGlance(t *testing.T) {
	t.Parallel()
	b := newBox(t, "how", "wait", "out", h100s)
	b.shows("0000:18:00.0", "NVIDIA H100 80GB HBM3", "GPU-18")
	f := b.finder()
	f.Refresh(0)
	b.await(func() bool { return b.calls() == 1 })
	report := f.Look(gone(t), 0)
	require.Equal(t, []string{"cuda:0 NVIDIA H100 80GB HBM3 GPU-18 0"}, cards(report))
	require.False(t, report.Whole)
	require.Len(t, report.Problems, 1)
	_, err := f.Find(gone(t), cuda(0))
	require.NoError(t, err)
	_, err = f.Find(gone(t), cuda(1))
	require.ErrorAs(t, err, new(*UnknownError))
	b.file("go", "now")
	require.Len(t, cards(f.Look(t.Context(), time.Hour)), 2)
}

// A card that is put in, or comes back, is found by the job that asks for it once the last look is not fresh any more.
func TestACardThatIsNewIsFound(t *testing.T) {
	t.Parallel()
	b := newBox(t, "out", h100s)
	f := b.finder()
	_, err := f.Find(t.Context(), cuda(2))
	require.ErrorAs(t, err, new(*NotFoundError))
	b.file("out", h100s+"2, GPU-22, NVIDIA L4, 00000000:AF:00.0, 23034, 0, [N/A]\n")
	_, err = f.Find(t.Context(), cuda(2))
	require.ErrorAs(t, err, new(*NotFoundError))
	f.mu.Lock()
	f.last.At = f.last.At.Add(-Fresh)
	f.mu.Unlock()
	found, err := f.Find(t.Context(), cuda(2))
	require.NoError(t, err)
	require.Equal(t, "GPU-22", found.UUID)

	f.mu.Lock()
	f.last.At = f.last.At.Add(-refreshAfter)
	f.mu.Unlock()
	before := b.calls()
	_, err = f.Find(gone(t), cuda(2))
	require.NoError(t, err)
	b.await(func() bool { return b.calls() == before+1 }) // behind the job's back
}

func TestCloseEndsTheLook(t *testing.T) {
	t.Parallel()
	b := newBox(t, "how", "hang")
	f := b.finder()
	f.Refresh(0)
	b.await(func() bool { return len(pids(b)) == 2 })
	f.Close()
	for _, pid := range pids(b) {
		b.await(func() bool { return !alive(pid) })
	}
	before := b.calls()
	require.Equal(t, []string{"cpu"}, f.Look(t.Context(), time.Hour).Names())
	f.Refresh(0)
	_ = f.Look(t.Context(), 0)
	require.Equal(t, before, b.calls())
}

// What a job on a GPU costs: a look into what is remembered.
func BenchmarkFindKnown(b *testing.B) {
	f := NewFinder(Config{})
	defer f.Close()
	f.last = Report{At: time.Now(), Devices: []Found{{Device: Device{Kind: CPU}}, {Device: cuda(0)}, {Device: cuda(1)}}}
	for b.Loop() {
		if _, err := f.Find(b.Context(), cuda(1)); err != nil {
			b.Fatal(err)
		}
	}
}
