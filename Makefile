# Everything this project is run by. `make` alone prints the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
QUESTION ?= How do I ingest a folder of documents?
SIZES ?= 10000,100000

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast test-vllm test-services check format bench bench-peers growth chaos upstream docs sbom clean

help: ## Print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name it with make PYTHON=python3.11"; exit 1; }
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing pinned dependencies (1.5 GB, most of it torch; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(STAMP)-dev: $(STAMP)
	@echo "Installing what tests and checks need ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(STAMP) ## Create .venv and install the service, pinned

run: install ## Ingest the manual, start the service, ask one question
	@$(BIN)/grounded ingest data/handbook
	@exec $(BIN)/grounded serve --try "$(QUESTION)"

test: $(STAMP)-dev ## Every test that needs no service, on up to four cores
	@$(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile

test-fast: $(STAMP)-dev ## The tests that take seconds
	@$(BIN)/python -m pytest -q -m "not slow and not models and not browser and not shared"

test-vllm: $(STAMP)-dev ## The tests with a real vLLM on the CPU, in an environment of its own: 3 GB, some minutes
	@$(BIN)/python -m tests.vllm

test-services: $(STAMP)-dev ## The tests on PostgreSQL and Redis, with several replicas; installs both where it may
	@$(BIN)/python -m tests.services

check: $(STAMP)-dev ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP)-dev ## Format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install ## Speed: each stage beside its budget, ingest beside bare embedding
	@$(BIN)/grounded eval bench

growth: $(STAMP)-dev ## Latency, memory, disk and many clients at SIZES chunks
	@$(BIN)/grounded eval growth --sizes $(SIZES)

bench-peers: $(STAMP)-dev ## Beside other libraries, each in its own environment: DATA=folder in BEIR form, SIZE=25000
	@test -n "$(DATA)" || { echo "Name what is judged: make bench-peers DATA=folder, see data/handbook/peers.md"; exit 2; }
	@$(BIN)/python -m tests.peers --data "$(DATA)" --size "$(or $(SIZE),25000)" $(PEERS)

chaos: $(STAMP)-dev ## Kills, failing disks, flipped bits, planted bugs: half an hour
	@for check in killpoints kill iofault bitrot fulldisk reingest reindex readers jobs hostile mutants; do \
	  $(BIN)/python -m tests.chaos $$check || failed=1; done; exit $${failed:-0}

upstream: $(STAMP)-dev ## What model endpoints do wrong: cuts at every byte, outages, cancelled calls, clients that leave; ten minutes
	@for check in cuts outage faults amplification cancels disconnects ttft; do \
	  $(BIN)/python -m tests.upstream $$check || failed=1; done; exit $${failed:-0}

docs: install ## Write the generated tables of the manual
	@$(BIN)/grounded config docs

sbom: install ## What is installed, as a CycloneDX document: build/sbom.json
	@mkdir -p build
	@$(BIN)/python -m app.sbom > build/sbom.json && echo "build/sbom.json"

clean: ## Remove what was built and ingested
	rm -rf $(VENV) data/state build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
