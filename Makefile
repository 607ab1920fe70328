# Each target does its own set-up in .venv; nothing is to be done by hand. PYTHON chooses the interpreter (3.11+).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := pyproject.toml $(shell find custom_ops models -type f -not -path '*/__pycache__/*')

# $(call build,folder,options): a library for tests, in build/folder
build = $(BIN)/cmake -S custom_ops -B build/$(1) -G Ninja $(2) -DONNXQ_CUDA=OFF -DONNXQ_REQUIRE_NATIVE=ON \
	-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython_EXECUTABLE=$(abspath $(BIN))/python \
	-DONNXRUNTIME_INCLUDE_DIR=$(firstword $(wildcard $(abspath build)/*/onnxruntime_headers)) > build/$(1).log && \
	$(BIN)/cmake --build build/$(1) >> build/$(1).log || { tail -30 build/$(1).log; exit 1; }
# $(call on,folder,asan or tsan): in front of a command that is to run on it
runtime = $(shell $${CXX:-g++} -print-file-name=lib$(1).so) $(shell $${CXX:-g++} -print-file-name=libstdc++.so)
on = ONNXQ_LIBRARY=$(abspath build/$(1))/libonnxq_ops.so ASAN_OPTIONS=detect_leaks=0 \
	TSAN_OPTIONS=suppressions=$(abspath custom_ops)/cuda_on_host/tsan.supp $(if $(2),LD_PRELOAD="$(call runtime,$(2))")
MEMORY := address,undefined
PYTEST := $(BIN)/python -m pytest --override-ini addopts= -q -p no:xdist

# Tests that need neither torch nor another extra, for environments that have onnxq from a wheel.
SMALL := $(addprefix tests/, allocation clipping core decide formats graph operators recipe rewrite rounding runtime test_flow.py)
TOOLS := hypothesis pytest pytest-randomly pytest-xdist
NATIVE := find custom_ops -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh'

.PHONY: demo test test-slow lint format docs wheel lowest sanitize cuda-on-host fuzz bench clean

demo: $(INSTALLED)
	$(BIN)/onnxq demo

test: $(INSTALLED)
	$(BIN)/pytest

# Those that take ten seconds and more each: demo, exports of large networks, clusters, what the CUDA compiler makes.
test-slow: $(INSTALLED)
	$(BIN)/pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(NATIVE) | xargs $(BIN)/clang-format --dry-run --Werror

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(NATIVE) | xargs $(BIN)/clang-format -i

# The pages of docs, with the reference of the API, in build/docs.
docs: $(INSTALLED)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

wheel: TRY := build/try-wheel
lowest: TRY := build/try-lowest

# For any Python from 3.11 and glibc 2.28, in dist; it is tried in an environment of its own, whose PATH has no compiler.
wheel: $(INSTALLED)
	rm -rf dist build/wheel $(TRY)
	ONNXQ_CUDA=OFF ONNXQ_REQUIRE_NATIVE=1 $(BIN)/pip wheel --quiet --no-deps --wheel-dir build/wheel .
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/auditwheel repair --plat manylinux_2_28_$$(uname -m) --wheel-dir dist build/wheel/*.whl
	$(PYTHON) -m venv $(TRY)
	PATH=$(abspath $(TRY))/bin $(TRY)/bin/pip install --quiet "$$(ls dist/*.whl)[cpu,kmeans]" $(TOOLS)
	PATH=$(abspath $(TRY))/bin ONNXQ_REQUIRE_NATIVE=1 $(TRY)/bin/pytest --override-ini addopts= -q -n auto $(SMALL)

# The lowest versions that pyproject.toml declares.
lowest:
	rm -rf $(TRY)
	$(PYTHON) -m venv $(TRY)
	$(TRY)/bin/pip install --quiet $$($(PYTHON) .ci/lowest.py) $(TOOLS)
	ONNXQ_CUDA=OFF ONNXQ_REQUIRE_NATIVE=1 $(TRY)/bin/pip install --quiet --no-deps .
	ONNXQ_REQUIRE_NATIVE=1 $(TRY)/bin/pytest --override-ini addopts= -q -n auto $(SMALL)

# The operators' tests on kernels built for AddressSanitizer and UndefinedBehaviorSanitizer. (Leaks are Python's own.)
sanitize: $(INSTALLED)
	$(call build,sanitized,-DONNXQ_SANITIZE=$(MEMORY))
	$(call on,sanitized,asan) $(PYTEST) tests/operators
	$(call on,sanitized,asan) $(BIN)/python fuzz/operators.py --cases $(or $(CASES),2000)

# The same tests on the CUDA kernels, compiled for the processor, each CUDA thread a thread; then those of values with
# both sanitizers, and with ThreadSanitizer, which sees races between the threads of a block.
cuda-on-host: VALUES := agree or layouts or codebook or mid_tread or fixed_point
cuda-on-host: $(INSTALLED)
	$(call build,cuda_on_host,-DONNXQ_CUDA_ON_HOST=ON)
	$(call on,cuda_on_host) $(PYTEST) tests/operators
	$(call build,cuda_on_host_sanitized,-DONNXQ_CUDA_ON_HOST=ON -DONNXQ_SANITIZE=$(MEMORY) -DONNXQ_DIVIDER_LIMIT=15000)
	ONNXQ_EXAMPLES=few $(call on,cuda_on_host_sanitized,asan) $(PYTEST) tests/operators -k '$(VALUES)'
	$(call build,cuda_on_host_threads,-DONNXQ_CUDA_ON_HOST=ON -DONNXQ_SANITIZE=thread)
	ONNXQ_EXAMPLES=few $(call on,cuda_on_host_threads,tsan) $(PYTEST) tests/operators -k '$(VALUES)' --capture=sys

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
