package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// sums remembers the checksums of files by the stamps of their last changes. Whoever needs one that is being computed waits
// for that, so that a file is read once however many jobs ask; nothing is locked meanwhile.
type sums struct {
	mu    sync.Mutex
	known map[stamp]string
	under map[stamp]*summing
}

// summing is a checksum that is being computed.
type summing struct {
	done chan struct{} // closed once the rest is set
	sum  string
	err  error
}

const (
	mostSums  = 4096
	chunk     = 1 << 20
	largeFile = 16 << 20 // reading it takes longer than waiting until its state can be told from the next
)

// of returns the checksum of the file that bears the stamp.
func (s *sums) of(ctx context.Context, file *os.File, id stamp, now func() time.Time) (string, error) {
	for {
		sum, under, mine := s.begin(id)
		switch {
		case sum != "":
			return sum, nil
		case mine:
			keep := false
			under.sum, keep, under.err = compute(ctx, file, id, now)
			s.end(id, under, keep && under.err == nil)
			return under.sum, under.err
		}
		select {
		case <-under.done:
			if !isEnd(under.err) { // else it was another's patience that ended
				return under.sum, under.err
			}
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// lookUp returns the checksum of the file that bears the stamp if it is known.
func (s *sums) lookUp(id stamp) (sum string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum, known = s.known[id]
	return sum, known
}

// begin returns the checksum if it is known, or who computes it, which may be the caller from now on.
func (s *sums) begin(id stamp) (sum string, under *summing, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == (stamp{}) { // nothing tells one state of the file from another
		return "", &summing{done: make(chan struct{})}, true
	}
	if sum, ok := s.known[id]; ok {
		return sum, nil, false
	}
	if under, ok := s.under[id]; ok {
		return "", under, false
	}
	if s.under == nil {
		s.under = make(map[stamp]*summing)
	}
	under = &summing{done: make(chan struct{})}
	s.under[id] = under
	return "", under, true
}

func (s *sums) end(id stamp, under *summing, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.under, id)
	if keep {
		if s.known == nil || len(s.known) >= mostSums {
			s.known = make(map[stamp]string)
		}
		s.known[id] = under.sum
	}
	close(under.done)
}

// compute reads the file. Keep says that no other content can ever bear the same stamp: the clock had ticked since the last
// change when the reading began, and the file was not changed meanwhile.
func compute(ctx context.Context, file *os.File, id stamp, now func() time.Time) (sum string, keep bool, err error) {
	keep = id.isSettled(now())
	if !keep && id.size > largeFile && id != (stamp{}) {
		timer := time.NewTimer(id.unsettled(now()))
		defer timer.Stop()
		select {
		case <-timer.C:
			keep = id.isSettled(now())
		case <-ctx.Done():
			return "", false, context.Cause(ctx)
		}
	}
	if sum, err = digest(ctx, file); err != nil {
		return "", false, err
	}
	info, err := file.Stat()
	if err != nil {
		return "", false, err
	}
	if stampOf(info) != id {
		return "", false, replaced(file.Name())
	}
	return sum, keep, nil
}

// sumOf computes the checksum of the file at path.
func sumOf(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return digest(ctx, file)
}

func digest(ctx context.Context, file *os.File) (string, error) {
	hash, buffer := sha256.New(), make([]byte, chunk)
	for at := int64(0); ; {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := file.ReadAt(buffer, at)
		hash.Write(buffer[:n])
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(hash.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}
