# Every target sets itself up: Python 3.11+ and make are all a machine needs; the tests also a C compiler, Node and Chromium.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Each start of a process would compile everything anew without these: it takes longer than the start itself.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak check fix bench clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## create .venv with the locked dependencies

$(VENV)/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@$(BIN)/uv sync --locked --quiet --inexact
	@touch $@

demo: $(VENV)/.ready ## sandbox + server + sample traffic; ARGS=--exit stops after the summary
	@$(BIN)/gainsight-destination demo $(ARGS)

test: $(VENV)/.ready ## the whole test-suite; ARGS are given to pytest
	@$(BIN)/python -m pytest -n 2 $(ARGS)

soak: $(VENV)/.ready ## long runs: every crash point, every disk write, 1,000 kills, the oracle; hours (tests marked `soak`)
	@SOAK=1 $(BIN)/python -m pytest -n 2 -m soak $(ARGS)

check: $(VENV)/.ready ## lint, format, types, import rules, lock files
	@$(BIN)/uv lock --check --quiet
	@$(BIN)/uv lock --check --quiet --project tests/sdk
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(VENV)/.ready ## format, and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.ready ## run the benchmarks and print their tables
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove the environment and caches
	rm -rf $(VENV) .sdks .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
