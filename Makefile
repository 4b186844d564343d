# `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
BIN := bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/telluride
	$(GO) build -o $(BIN)/telluride ./cmd/telluride

test: vet lint generated unit flowtests ## everything that CI runs

vet: ## go vet, formatting, a tidy go.mod, and bugs of tools/mutants that still apply
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi
	@for patch in tools/mutants/*.patch; do \
	  git apply --check "$$patch" || { echo "$$patch no longer applies: make that bug anew"; exit 1; }; \
	done
	$(GO) mod tidy -diff
	$(GO) vet ./...

lint: $(BIN)/golangci-lint ## golangci-lint, in the version that tools/go.mod names
	$(BIN)/golangci-lint run ./...

$(BIN)/golangci-lint: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

unit: ## the tests, with the race detector and in random order; finds or starts RabbitMQ, and finds or installs Chromium
	@tools/chromium
	@url=$$(tools/broker ensure) && export "$$url" GO="$(GO)" && tools/unit

flowtests: build ## the tests of the shipped flows and of testdata/suite, with 1 and 8 lanes, batches of 1 and 1000
	$(BIN)/telluride test --matrix flows testdata/suite | grep -v '^ok  '; exit $${PIPESTATUS[0]}

soak: soak-model ## soak-model, and the harnesses of changes, faults and crashes, long; HARNESS_EVENTS, HARNESS_CRASHES, HARNESS_SEED
	@tools/broker ensure >/dev/null && \
	HARNESS_EVENTS=$(or $(HARNESS_EVENTS),1600) HARNESS_MESSAGES=$(or $(HARNESS_MESSAGES),160000) \
	HARNESS_CRASHES=$(or $(HARNESS_CRASHES),100) \
	$(GO) test -race -count=1 -timeout 0 -run '^(TestHarness|TestCrashes)$$' -v ./cmd/telluride

pause: ## how long a change holds up the output, as a consumer sees it; HARNESS_PAUSE=200 changes
	@tools/broker ensure >/dev/null && \
	HARNESS_PAUSE=$(or $(HARNESS_PAUSE),200) $(GO) test -count=1 -run '^TestPause$$' -v ./cmd/telluride

soak-model: ## random flows and scripts against the model of the engine, for SOAK_MINUTES (10); MODEL_SEED repeats a run
	MODEL_MINUTES=$(or $(SOAK_MINUTES),10) $(GO) test -count=1 -timeout 0 -run '^TestTheEngineKeepsItsPromises$$' -v ./engine/flowtest

mutants: ## bugs put into the engine, each of which a flow test has to notice; writes testdata/suite/MUTANTS.md
	cd tools && $(GO) run ./mutants

generate: ## write the reference and the JSON Schema anew
	$(GO) run ./cmd/telluride stages --write docs/reference
	$(GO) run ./cmd/telluride schema --out docs/reference/flow.schema.json

generated: ## fail when the reference or the schema is not what the code says
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(GO) run ./cmd/telluride stages --write "$$dir" >/dev/null && \
	$(GO) run ./cmd/telluride schema --out "$$dir/flow.schema.json" >/dev/null && \
	diff -ru docs/reference "$$dir" || { echo "docs/reference is not current: run make generate"; exit 1; }

bench: ## the benchmarks, in benchstat's format
	$(GO) test -run '^$$' -bench . -benchmem -count $(or $(COUNT),1) ./...

bench-job: ## the main job beside a hand-written loop, and its memory
	$(GO) test -run '^$$' -bench 'BenchmarkJob' -benchtime 3x -count $(or $(COUNT),3) ./stages

demo: build ## simulated sensors through RabbitMQ, to watch; DEMO_SECONDS=10 ends it, else Ctrl-C
	@tools/demo $(BIN)/telluride

fuzz: ## each fuzz target for FUZZTIME (default 30s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),30s) $$pkg; \
	  done; done

clean: ## remove what was built
	rm -rf $(BIN)

.PHONY: help flowtests build test vet lint unit soak soak-model mutants pause generate generated bench bench-job demo fuzz clean
