# Everything a newcomer runs. PYTHON is the interpreter the environment is made with.
PYTHON ?= python3.12
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow notebooks lint docs bench bench-gpu clean

demo: $(READY)
	$(BIN)/homodyne-bayes demo --out demo --overwrite

test: $(READY) # a test that hangs is ended after 20 minutes, and shows where
	$(BIN)/python -m pytest -o faulthandler_timeout=1200 -o faulthandler_exit_on_timeout=true

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow -n 0 -s

notebooks: $(READY)
	$(BIN)/python -m pytest -m slow -n 0 tests/test_notebooks.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY)
	$(BIN)/python tests/benchmarks/bench.py bench

bench-gpu: $(READY)
	$(BIN)/python tests/benchmarks/bench.py bench gpu

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), about a minute"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $(READY)

clean:
	rm -rf $(VENV) demo bench site build *.egg-info .pytest_cache .mypy_cache .ruff_cache
