# `make demo` and `make test` set up all they need: a virtual environment in .venv, with catscale and its tools.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
DATA ?= shapes

.PHONY: demo test test-slow test-gpu check lint bench clean

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'catscale needs Python 3.11 or newer; name one: make PYTHON=python3.12' >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	mkdir -p build/typing && ln -sfn '$(CURDIR)' build/typing/catscale
	touch $@

demo: $(READY)
	$(BIN)/catscale demo --data $(DATA)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder  # two processes, a thread each

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

test-gpu: $(READY)
	$(BIN)/python -m pytest -m gpu

check: lint test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m pytest tests/benchmarks --override-ini python_files="bench_*.py" --quiet

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
