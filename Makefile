# Targets explain themselves: `make` lists them.

GO      ?= go
MODULE  := github.com/elastiformer/elastiformer
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git rev-parse --verify --quiet HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# The go command leaves folders called testdata out of any pattern, so those are named.
ALL := ./... ./testdata ./testdata/grammar ./testdata/pretrain ./testdata/random ./testdata/shapes

# The linter is pinned and compiled on first use; its own dependencies stay out of go.mod.
LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2

# How long each fuzz target runs.
FUZZTIME ?= 5s

# Which benchmarks run, how often and how long each: COUNT=10 is what benchstat wants.
BENCH     ?= .
COUNT     ?= 1
BENCHTIME ?= 1s

# Where the generated assembly goes. The generators are a module of their own in its folder asm, one folder per family.
SIMD ?= internal/simd

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help build demo test race memory fuzz lint fmt bench golden cover cross arm64 asm asm-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## compile one static binary, bin/elastiformer
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/elastiformer

demo: build ## convert, train and evaluate two tiny checkpoints, and print their budget tables
	./bin/elastiformer demo

test: ## run all tests (needs no network once the modules are there)
	$(GO) test $(ALL)

race: ## run the tests with the race detector, without the long ones (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short $(ALL)

memory: ## measure peak memory with a file of 1.1 billion parameters (minutes, 2 GB of disk)
	ELASTIFORMER_LARGE=1 $(GO) test ./cmd/elastiformer -run TestMemoryOfLargeFile -v -count=1 -timeout 60m

fuzz: ## run every fuzz target for a few seconds (FUZZTIME=5s)
	@set -e; for pkg in $$($(GO) list $(ALL)); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done

lint: ## check style, mistakes and the direction of imports
	$(GO) vet $(ALL)
	$(LINT) run $(ALL)
	cd $(SIMD)/asm && $(GO) vet ./... && $(LINT) run ./...

fmt: ## format the code and sort imports
	$(LINT) fmt $(ALL)
	cd $(SIMD)/asm && $(LINT) fmt ./...

bench: ## run the benchmarks, for benchstat (BENCH=regexp COUNT=1 BENCHTIME=1s)
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -benchtime $(BENCHTIME) $(ALL)

golden: ## rewrite what the tests compare the program's output with; look at the difference before committing
	$(GO) test ./cmd/elastiformer -run '^TestScript$$' -update

cover: ## measure which lines the tests reach, into cover.html
	$(GO) test -coverprofile cover.out -coverpkg $(MODULE)/... ./...
	$(GO) tool cover -html cover.out -o cover.html
	$(GO) tool cover -func cover.out | tail -n 1

cross: ## check that all code and tests compile for the other systems
	@set -e; for target in darwin/arm64 linux/arm64 windows/amd64; do \
		echo "$$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -trimpath -o /dev/null ./cmd/elastiformer; \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet $(ALL); \
	done

arm64: ## run the tests of bytes and arithmetic for arm64, by emulation on other processors
	GO=$(GO) .ci/arm64 ./internal/simd ./internal/kernel ./pkg/gguf

asm: ## generate the assembly
	@set -e; cd $(SIMD)/asm; for main in */main.go; do \
		family=$${main%/main.go}; echo "$$family"; \
		$(GO) run ./$$family -out ../$${family}_amd64.s -stubs ../$${family}_stubs_amd64.go -pkg simd; \
	done

asm-check: ## check that the assembly is what its generators give
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	cp -r internal/simd/asm "$$fresh"; \
	$(MAKE) --no-print-directory asm SIMD="$$fresh"; \
	for file in internal/simd/*_amd64.s internal/simd/*_stubs_amd64.go "$$fresh"/*.s "$$fresh"/*.go; do \
		cmp "internal/simd/$${file##*/}" "$$fresh/$${file##*/}"; \
	done

clean: ## remove what this file makes
	rm -rf bin cover.out cover.html
