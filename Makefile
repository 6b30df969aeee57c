# `make help` lists the targets; `make demo` and `make test` need nothing but Python 3.11+ (the tests: a Chromium too).
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help install install-dev stack demo test test-unit test-spec test-generative test-contract test-integration test-browser test-e2e test-faults test-train check format bench clean browser

help:  ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Teleward needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name one with: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,wfdb]'
	@touch $@

install: $(STAMP)  ## A .venv with everything that the demo needs (nothing to do the second time)

install-dev: install $(DEV_STAMP)  ## The same with what checks and tests need

stack: install  ## Apache Kafka, InfluxDB and Mosquitto for the native stack, under .stack/ (needs Java, Maven, Go)
	$(BIN)/python -m deploy.native.build $(if $(CHECKS),--checks)

demo: install  ## The whole ward on this machine: prints the address of the page
	@$(BIN)/teleward demo $(ARGS)

test: install-dev browser  ## The whole test suite
	$(BIN)/python -m pytest $(ARGS)

test-unit: install-dev  ## Pure functions, one at a time
	$(BIN)/python -m pytest tests/unit tests/floors $(ARGS)
test-spec: install-dev  ## Clinical rules as truth tables, run by every runner
	$(BIN)/python -m pytest tests/spec $(ARGS)
test-generative: install-dev  ## Properties on generated streams
	$(BIN)/python -m pytest tests/generative $(ARGS)
test-contract: install-dev  ## What every detector and every store must pass
	$(BIN)/python -m pytest tests/contract $(ARGS)
test-integration: install-dev  ## Parts together on the embedded brokers
	$(BIN)/python -m pytest tests/integration $(ARGS)
test-browser: install-dev browser  ## The console in a real browser
	$(BIN)/python -m pytest tests/browser $(ARGS)
test-e2e: install-dev  ## The whole way, known onsets and faults, real recordings
	$(BIN)/python -m pytest tests/e2e $(ARGS)
test-faults: install-dev  ## Whatever dies, at random moments, on the native stack: the long runs too (needs `make stack`)
	TELEWARD_FAULTS=all $(BIN)/python -m pytest tests/faults -s $(ARGS)

bench: install  ## Counted work, each hop under load, and the same work by others (needs `make stack`; ARGS=--install fetches the others)
	@mkdir -p build/bench
	$(BIN)/teleward bench count --write build/bench/count.json
	$(BIN)/teleward bench latency --out build/bench/latency
	$(BIN)/teleward bench peers --out build/bench/peers $(ARGS)

test-train: install-dev  ## Training and export, on a small cut of made-up data: installs torch (several GB, once)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train]'
	$(BIN)/python -m pytest tests/contract/test_sepsis_torch.py tests/contract/test_anomaly_network.py tests/contract/test_anomaly_bench.py $(ARGS)

check: install-dev  ## Lint, format and types, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-dev  ## Mend what the linter can mend
	$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .

browser:
	@sh deploy/need_browser.sh

clean:  ## Take away what make has made
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
