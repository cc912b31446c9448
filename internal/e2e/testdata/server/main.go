// Command server plays an inference server that is no worker: see package fakeserver.
package main

import (
	"os"

	"github.com/rbee-keeper/hive/internal/fakeserver"
)

func main() { os.Exit(fakeserver.Main(os.Args[1:])) }
