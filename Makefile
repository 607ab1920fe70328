# Each target does its own set-up in .venv; nothing is to be done by hand. PYTHON chooses the interpreter (3.11+).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := pyproject.toml $(shell find custom_ops models -type f -not -path '*/__pycache__/*')

.PHONY: demo test lint bench clean

demo: $(INSTALLED)
	$(BIN)/onnxq demo

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python benchmarks/run_all.py

# Editable: Python sources are used in place; a change of native sources or demo models reinstalls.
$(INSTALLED): $(SOURCES)
	@echo "setting up $(VENV); the first time downloads some GB (PyTorch), which takes minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build
