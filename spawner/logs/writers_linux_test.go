package logs

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRotateBehindWriters rotates a log as often as it can while workers write to it as fast as they can.
func TestRotateBehindWriters(t *testing.T) {
	t.Parallel()
	for _, writers := range []int{1, 4} {
		t.Run(fmt.Sprint(writers), func(t *testing.T) {
			t.Parallel()
			const lines = 200_000
			path := write(t, "")
			var printers []printer
			for i := range writers {
				printers = append(printers, printing(t, path, string(rune('a'+i)), lines/writers))
			}
			rotations := 0
			rotate := func() int64 {
				freed, err := Rotate(path, small)
				require.NoError(t, err)
				if freed > 0 {
					rotations++
				}
				chunk, err := Tail(path, 0, 1, 0)
				require.NoError(t, err)
				_, disk := onDisk(t, path)
				size, _ := onDisk(t, path) // later: it may have grown before the disk was looked at
				checkDisk(t, path, disk, size-chunk.Start)
				return size
			}
			late := time.Now().Add(time.Minute)
			for size := int64(0); size < int64((lines-writers*finalLines)*lineWidth); size = rotate() {
				require.True(t, time.Now().Before(late), "the workers go on")
			}
			for _, p := range printers {
				p.finish()
			}
			for _, p := range printers {
				for running := true; running; rotate() {
					select {
					case err := <-p.ended:
						require.NoError(t, err, "the worker does not notice")
						running = false
					default:
					}
				}
			}
			_, err := Rotate(path, small)
			require.NoError(t, err)
			size, disk := onDisk(t, path)
			require.Equal(t, int64(lines*lineWidth), size, "all was written")
			checkDisk(t, path, disk, small.keep()+lookBack)
			require.Positive(t, rotations)

			first, next := int64(-1), int64(0)
			numbers := map[string]int{}
			for {
				chunk, err := Range(path, next, 0, true)
				require.NoError(t, err)
				if len(chunk.Lines) == 0 {
					require.Equal(t, size, chunk.Next)
					break
				}
				if first < 0 {
					first = chunk.From
					require.Equal(t, chunk.Start, first)
					require.Zero(t, first%lineWidth, "it begins with a whole line")
				} else {
					require.Zero(t, chunk.Missed)
				}
				checkNumbered(t, chunk, numbers)
				next = chunk.Next
			}
			require.Greater(t, size-first, small.keep()-small.SegmentSize, "it keeps as much as it should")
			for writer, number := range numbers {
				require.Equal(t, lines/writers, number, writer)
			}
			require.Len(t, numbers, writers)
		})
	}
}

// checkNumbered checks that the lines of each writer follow each other, from whatever number on, and are whole. numbers
// holds the next one of each.
func checkNumbered(t *testing.T, chunk Chunk, numbers map[string]int) {
	t.Helper()
	for _, line := range chunk.Lines {
		writer, rest, _ := strings.Cut(line, " ")
		digits, _, _ := strings.Cut(rest, " ")
		number, err := strconv.Atoi(digits)
		if err != nil || line != numbered(writer, number) {
			require.Fail(t, "not whole", line)
		}
		if next, ok := numbers[writer]; ok && next != number {
			require.Fail(t, "lost", "%s: %d instead of %d", writer, number, next)
		}
		numbers[writer] = number + 1
	}
}

// TestFollow reads a log while a worker writes to it as fast as it can and it is rotated as often as possible: all is
// seen, or counted as missed.
func TestFollow(t *testing.T) {
	t.Parallel()
	const lines = 200_000
	path := write(t, "")
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := Rotate(path, small); err != nil {
				stopped <- err
				return
			}
		}
	}()
	worker := printing(t, path, "w", lines)
	worker.finish()
	var next, seen, missed int64
	number := map[string]int{}
	ended := false
	for {
		if !ended {
			select {
			case err := <-worker.ended:
				require.NoError(t, err)
				ended = true
			default:
			}
		}
		chunk, err := Range(path, next, 0, ended)
		require.NoError(t, err)
		require.Equal(t, next+chunk.Missed, chunk.From)
		seen, missed = seen+chunk.Next-chunk.From, missed+chunk.Missed
		require.Zero(t, chunk.Missed%lineWidth, "whole lines are missed")
		number["w"] += int(chunk.Missed / lineWidth)
		checkNumbered(t, chunk, number)
		next = chunk.Next
		if ended && next == chunk.Size {
			break
		}
	}
	close(stop)
	require.NoError(t, <-stopped)
	require.Equal(t, int64(lines*lineWidth), seen+missed)
	require.Positive(t, seen)
	require.Equal(t, lines, number["w"])
}

// TestRotatedWhileItIsRead has a log rotated in the moments that matter: behind the open, and between the question where it
// begins and the read.
func TestRotatedWhileItIsRead(t *testing.T) {
	t.Parallel()
	read := func(file *log, meanwhile func()) Chunk {
		reads := 0
		chunk, err := file.stable(0, func(start int64, whole bool) (Chunk, error) {
			if reads++; reads == 1 {
				meanwhile()
			}
			return file.lines(0, DefaultLimit, start, whole, false)
		})
		require.NoError(t, err)
		require.Equal(t, chunk.Missed, chunk.From)
		require.Zero(t, chunk.From%lineWidth, "it begins with a whole line")
		checkNumbered(t, chunk, map[string]int{})
		return chunk
	}
	text := some(5 * minSegment)

	path := write(t, text)
	file, err := openLog(path, os.O_RDONLY)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	extend(t, path, strings.Repeat(text, 2))
	freed, err := Rotate(path, small)
	require.NoError(t, err)
	require.Greater(t, freed, file.size)
	chunk := read(file, func() {})
	require.Equal(t, freed, chunk.From, "beyond what was the end")

	extend(t, path, text)
	chunk = read(file, func() {
		freed, err = Rotate(path, small)
		require.NoError(t, err)
	})
	require.Equal(t, chunk.Start, chunk.From)
	require.Greater(t, freed, int64(minSegment))

	// What a reader sees of a rotation in steps: zeros up to the middle of a line, and then a hole up to there.
	path = write(t, text)
	steps, err := openLog(path, os.O_RDWR)
	require.NoError(t, err)
	defer func() { _ = steps.Close() }()
	require.NoError(t, punch(steps.File, 0, minSegment-segmentUnit))
	_, err = steps.WriteAt(make([]byte, segmentUnit), minSegment-segmentUnit)
	require.NoError(t, err)
	chunk = read(steps, func() { require.NoError(t, punch(steps.File, 0, minSegment)) })
	require.Equal(t, int64(minSegment), chunk.Start)
	require.Greater(t, chunk.From, chunk.Start)
}

func TestAFollowerIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	path := write(t, some(minSegment))
	chunk, err := Range(path, 0, 0, false)
	require.NoError(t, err)
	extend(t, path, some(4*minSegment))
	_, err = Rotate(path, small)
	require.NoError(t, err)
	after, err := Range(path, chunk.Next, 0, false)
	require.NoError(t, err)
	require.Equal(t, after.Start-chunk.Next, after.Missed)
	require.Equal(t, after.Start, after.From)
	require.Positive(t, after.Missed)
}

// BenchmarkWrite writes 64 MiB in pieces of 64 KiB; rotated, with a rotation behind it that frees as much. rotate-ns is
// how long the rotations took of it, of which a writer would have waited a part.
func BenchmarkWrite(b *testing.B) {
	piece := []byte(some(64 << 10))
	for _, name := range []string{"alone", "rotated"} {
		b.Run(name, func(b *testing.B) {
			path := write(b, "")
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				b.Fatal(err)
			}
			var rotating time.Duration
			b.SetBytes(DefaultSegmentSize)
			for b.Loop() {
				if name == "alone" {
					if err := os.Truncate(path, 0); err != nil { // or it would fill the disk
						b.Fatal(err)
					}
				}
				for range DefaultSegmentSize / (64 << 10) {
					if _, err := file.Write(piece); err != nil {
						b.Fatal(err)
					}
				}
				if name == "rotated" {
					began := time.Now()
					if _, err := Rotate(path, Policy{}); err != nil {
						b.Fatal(err)
					}
					rotating += time.Since(began)
				}
			}
			b.ReportMetric(float64(rotating.Nanoseconds())/float64(b.N), "rotate-ns/op")
			_ = file.Close()
		})
	}
}

// BenchmarkRotateIdle rotates a log that was rotated before, as most are whenever they are looked at.
func BenchmarkRotateIdle(b *testing.B) {
	path := write(b, some(5*minSegment))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Rotate(path, small); err != nil {
			b.Fatal(err)
		}
	}
}
