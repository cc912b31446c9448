# `make` prints what there is to do. Building and testing need Go and make; `make check` needs a C compiler besides, for
# the race detector. Nothing is installed: the tools below are built by Go at the version named here.

GOFUMPT       := mvdan.cc/gofumpt@v0.12.0
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

COMMANDS := rbee rbee-hive llm-worker
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)

# Runs per fuzz target in `make fuzz`: a number of inputs (20000x) or a time (30s). Inputs by default, because a run that
# ends by the clock can report its own end as a failure.
FUZZTIME ?= 20000x
# What `make bench-micro` measures.
BENCH ?= .
# For how long `make chaos` begins rounds in which hives and servers are killed at random moments.
CHAOS ?= 60s

.DEFAULT_GOAL := help
.NOTPARALLEL:

##@ Use

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the three commands into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(COMMANDS:%=./cmd/%)

.PHONY: install
install: ## Install the three commands where `go install` puts them
	CGO_ENABLED=0 go install -trimpath -ldflags '$(LDFLAGS)' $(COMMANDS:%=./cmd/%)

.PHONY: demo
demo: build ## Build, then show one worker from its job to its end
	bin/rbee demo

##@ Work

.PHONY: test
test: ## Run all tests (needs Go and make only)
	CGO_ENABLED=0 go test ./...

.PHONY: check
check: fmt-check tidy-check fix-check vet lint race fuzz chaos-check ## Run everything that must hold before a change goes in

.PHONY: fmt
fmt: ## Format the code
	go run $(GOFUMPT) -w .

.PHONY: lint
lint: ## Run golangci-lint with .golangci.yml (its first run builds it: minutes)
	go run $(GOLANGCI_LINT) run ./...

.PHONY: vet
vet: ## Vet for Linux, macOS and Windows
	CGO_ENABLED=0 GOOS=linux go vet ./...
	CGO_ENABLED=0 GOOS=darwin go vet ./...
	CGO_ENABLED=0 GOOS=windows go vet ./...

.PHONY: race
race: ## Run all tests under the race detector (needs a C compiler)
	@set -- $$(go env CC); command -v "$$1" >/dev/null || { \
		echo "make race: the race detector needs the C compiler '$$1', which is not here: install it (apt-get install gcc, dnf install gcc, xcode-select --install) or name another in CC" >&2; \
		exit 1; }
	CGO_ENABLED=1 go test -race ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for a short while (FUZZTIME=30s for longer)
	@set -e; pkgs=$$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); for pkg in $$pkgs; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$pkg"/*_test.go); do \
			(cd "$$pkg" && set -x && go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) .); \
		done; \
	done

.PHONY: chaos
chaos: chaos-build ## Kill hives and servers between every two steps and at random (4 minutes; CHAOS=10m for longer)
	bin/chaos/chaos -random $(CHAOS)
	RBEE_E2E_KILLS=200 CGO_ENABLED=0 go test -count=1 -run TestAHiveKilledAtAnyMomentKnowsItsWorkers ./internal/e2e

.PHONY: bench
bench: build ## Measure spawning from end to end, beside the floor of the same run
	go run ./internal/bench

.PHONY: bench-micro
bench-micro: ## Run the benchmarks of the packages (BENCH=regexp to choose)
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin

# What `make check` runs of `make chaos`: at each point the hive is killed, and a few rounds of chance.
.PHONY: chaos-check
chaos-check: chaos-build
	CGO_ENABLED=0 go test -tags chaos ./internal/fault
	bin/chaos/chaos -mode hive -random 3s -calm=false

.PHONY: chaos-build
chaos-build:
	CGO_ENABLED=0 go build -tags chaos -o bin/chaos/ ./internal/chaos ./cmd/rbee-hive ./internal/e2e/testdata/worker

# The parts of `make check` that only look.

.PHONY: fmt-check
fmt-check:
	@files=$$(go run $(GOFUMPT) -l .) || exit 1; [ -z "$$files" ] || { \
		echo "make fmt-check: not formatted (run make fmt):" >&2; echo "$$files" >&2; exit 1; }

.PHONY: tidy-check
tidy-check:
	@go mod tidy -diff || { echo "make tidy-check: run go mod tidy" >&2; exit 1; }

.PHONY: fix-check
fix-check:
	@go fix -diff ./... || { echo "make fix-check: run go fix ./..." >&2; exit 1; }
