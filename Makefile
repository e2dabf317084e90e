# Needs make and Python 3.11 or newer; everything else goes into .venv. uv is used where it is on the PATH.
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null)
PIP := $(if $(UV),uv pip install -q -p $(BIN)/python,$(BIN)/python -m pip install -q --disable-pip-version-check)
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url pyproject.toml --extra postgres --extra nats --extra oidc

.PHONY: setup demo test check fmt soak bench docs clean lock

setup: .venv/.dev          ## makes .venv with everything that checks and tests need

demo: .venv/.run           ## runs the main job on the embedded store
	$(BIN)/wr demo

test: check                ## every check and every test
	$(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal

check: setup               ## format, lint, types, import contracts
	$(BIN)/ruff format --check -q . && $(BIN)/ruff check .
	$(BIN)/basedpyright && $(BIN)/lint-imports --no-logo

fmt: setup                 ## formats the code and mends what can be mended
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

soak: setup                ## the fault suites with large counts; SOAK=0.01 plays a hundredth of them
	SOAK=$(or $(SOAK),1) $(BIN)/pytest -m soak

bench: setup               ## the benchmarks, quick form
	set -e; for file in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py) --quick; done

docs: setup                ## regenerates docs/reference
	$(BIN)/python docs/build.py

clean:                     ## removes .venv, caches and what demos left behind
	rm -rf .venv .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist demo-data
	find . -name __pycache__ -prune -exec rm -rf {} +

lock: setup                ## renews requirements/*.txt
	$(COMPILE) --group build --upgrade -o requirements/run.txt
	$(COMPILE) --extra telemetry --extra semantic --group dev --constraint requirements/run.txt --upgrade -o requirements/dev.txt

# The project itself is built from the tree alone: its build backend is in the lock, and no index is asked.
.venv/.run: requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: name one, as in "make setup PYTHON=python3.12".' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes --only-binary :all: -r requirements/run.txt
	$(PIP) --no-index --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.run requirements/dev.txt
	$(PIP) --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@
