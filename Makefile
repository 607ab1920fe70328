# Each target does its own set-up in .venv; nothing is to be done by hand. PYTHON chooses the interpreter (3.11+).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := pyproject.toml $(shell find custom_ops models -type f -not -path '*/__pycache__/*')

SANITIZED := build/sanitized
ASAN = $(shell $${CXX:-g++} -print-file-name=libasan.so) $(shell $${CXX:-g++} -print-file-name=libstdc++.so)

.PHONY: demo test lint sanitize fuzz bench clean

demo: $(INSTALLED)
	$(BIN)/onnxq demo

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

# The operators' tests on kernels built for AddressSanitizer and UndefinedBehaviorSanitizer. (Leaks are Python's own.)
sanitize: $(INSTALLED)
	$(BIN)/cmake -S custom_ops -B $(SANITIZED) -G Ninja -DONNXQ_SANITIZE=ON -DONNXQ_CUDA=OFF -DONNXQ_REQUIRE_NATIVE=ON \
		-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython_EXECUTABLE=$(abspath $(BIN))/python \
		-DONNXRUNTIME_INCLUDE_DIR=$(firstword $(wildcard $(abspath build)/*/onnxruntime_headers)) > $(SANITIZED).log
	$(BIN)/cmake --build $(SANITIZED) >> $(SANITIZED).log
	ONNXQ_LIBRARY=$(abspath $(SANITIZED))/libonnxq_ops.so ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(ASAN)" \
		$(BIN)/python -m pytest --override-ini addopts= -q -p no:xdist tests/operators
	ONNXQ_LIBRARY=$(abspath $(SANITIZED))/libonnxq_ops.so ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(ASAN)" \
		$(BIN)/python fuzz/operators.py --cases $(or $(CASES),2000)

# Damaged inputs of every kind, so many minutes each: make fuzz MINUTES=10
fuzz: $(INSTALLED)
	$(BIN)/python fuzz/run.py --minutes $(or $(MINUTES),10)

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
