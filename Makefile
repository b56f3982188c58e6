# relinkd: build, show, test. `make help` lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
ENTRY   := $(if $(filter amd64,$(shell go env GOARCH)),-E relinkd/internal/hangup.entry)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(ENTRY) -X main.version=$(VERSION)'
STATICCHECK := go tool -modfile=tools/go.mod staticcheck

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build ./relinkd, a static program
	$(GOBUILD) -o relinkd ./cmd/relinkd

.PHONY: demo
demo: build ## Show relinkd at work: nothing to install, any user, half a minute
	./relinkd demo

.PHONY: demo-cyrus
demo-cyrus: ## The same over a real Cyrus under login load (root, Debian); puts everything back
	tools/demo-cyrus

.PHONY: test
test: ## Everything: check, all tests with -race as this user and, for root, as another; for root the real Cyrus too
	go run ./internal/suite

.PHONY: check
check: ## Formatting, vet, staticcheck, modules tidy, what is made of other files
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt-ed: $$unformatted"; exit 1; fi
	go vet ./...
	$(STATICCHECK) ./...
	go mod tidy -diff
	tools/generate -check

.PHONY: generate
generate: ## Manual pages, completions and packaging/copyright, which are made of other files
	tools/generate

.PHONY: bench
bench: ## Go benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: mutate
mutate: ## break each invariant on purpose, and list those that no test notices (root for all of them; half an hour)
	go run ./internal/mutate

.PHONY: bench-peers
bench-peers: build ## relinkd beside pgrep, fuser, lsof, ln, inotifywait, cron's clock and cp, in one table (root for all rows; 8 minutes)
	go run ./internal/peers -relinkd ./relinkd -o bench-peers.md

DIST ?= dist

.PHONY: packages
packages: ## .deb and .rpm for amd64 and arm64 into dist/, the same bytes for the same commit
	VERSION='$(VERSION)' DIST='$(DIST)' tools/packages

.PHONY: test-packages
test-packages: ## The packages alone: judged, installed, upgraded and removed on Debian 12 systems that boot (root)
	tools/setup
	go test -count=1 -timeout 40m -v ./test/packages

.PHONY: clean
clean: ## Remove what was built
	rm -rf relinkd bench-peers.md dist
