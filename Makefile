# `make help` lists the targets; `make demo` and `make test` need nothing but Python 3.11+ (the tests: a Chromium too).
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-unit test-spec test-generative test-contract test-integration test-browser test-e2e check format bench clean browser

help:  ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Teleward needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name one with: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,wfdb]'
	@touch $@

install: $(STAMP)  ## A .venv with everything that demo and tests need (nothing to do the second time)

demo: install  ## The whole ward on this machine: prints the address of the page
	@$(BIN)/teleward demo $(ARGS)

test: install browser  ## The whole test suite
	$(BIN)/python -m pytest $(ARGS)

test-unit: install  ## Pure functions, one at a time
	$(BIN)/python -m pytest tests/unit tests/floors $(ARGS)
test-spec: install  ## Clinical rules as truth tables, run by every runner
	$(BIN)/python -m pytest tests/spec $(ARGS)
test-generative: install  ## Properties on generated streams
	$(BIN)/python -m pytest tests/generative $(ARGS)
test-contract: install  ## What every detector and every store must pass
	$(BIN)/python -m pytest tests/contract $(ARGS)
test-integration: install  ## Parts together on the embedded brokers
	$(BIN)/python -m pytest tests/integration $(ARGS)
test-browser: install browser  ## The console in a real browser
	$(BIN)/python -m pytest tests/browser $(ARGS)
test-e2e: install  ## The whole way, known onsets and faults, real recordings
	$(BIN)/python -m pytest tests/e2e $(ARGS)

check: install  ## Lint, format and types, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## Mend what the linter can mend
	$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .

browser:
	@sh deploy/need_browser.sh

clean:  ## Take away what make has made
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
