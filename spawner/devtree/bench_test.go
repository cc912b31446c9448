//go:build unix

package devtree_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/devtree"
)

// What it costs to find out that a program is up to date whose workspace has 2,000 sources in 40 crates, each of which depends on
// the one behind it.
func BenchmarkUpdateOfWhatIsFresh(b *testing.B) {
	const crates, sources = 40, 50
	tr := newTree(b)
	var named []string
	for i := range crates {
		dir := fmt.Sprintf("crates/c%02d", i)
		toml := fmt.Sprintf("[package]\nname = \"c%02d\"\nversion.workspace = true\nedition = \"2021\"\n\n[dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\n", i)
		if i+1 < crates {
			toml += fmt.Sprintf("next = { package = \"c%02d\", path = \"../c%02d\" }\n", i+1, i+1)
		}
		tr.write(dir+"/Cargo.toml", toml+"\n[dev-dependencies]\nproptest = \"1\"\n")
		for j := range sources {
			path := fmt.Sprintf("%s/src/part%d/module_%02d.rs", dir, j%5, j)
			tr.write(path, "pub fn nothing() {}\n")
			named = append(named, strings.ReplaceAll(tr.path(path), " ", `\ `))
		}
	}
	tr.write("crates/with space/Cargo.toml", "[package]\nname = \"helper\"\n[dependencies]\nc00 = { path = \"../c00\" }\n")
	u := tr.updater(nil)
	measure := func(b *testing.B) {
		for b.Loop() {
			_, _, err := u.Update(b.Context(), worker, func(s devtree.Step) {
				if !s.Verdict.Fresh || s.Verdict.Files < crates*sources {
					b.Fatalf("%+v", s)
				}
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("by the clock", func(b *testing.B) {
		makeByHand(tr, time.Now().Add(time.Minute))
		tr.write("target/debug/"+worker+".d", tr.path("target/debug/"+worker)+": "+strings.Join(named, " ")+"\n")
		measure(b)
	})
	b.Run("by the stamp", func(b *testing.B) {
		tr.remove("target")
		tr.plays("make " + strings.Join(named, " "))
		_, _, err := u.Update(b.Context(), worker, func(devtree.Step) {})
		require.NoError(b, err)
		measure(b)
	})
}
