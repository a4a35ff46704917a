# Two commands do all set-up: `make demo` and `make test`; `make docs` builds the documentation.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := .venv/.ready
TEST_READY := .venv/.ready-tests

.PHONY: env test-env demo test quick test-chips campaign check format docs lock benchmark

env: $(READY) ## What the tools need, without their extras
test-env: $(TEST_READY) ## All extras too, and what the tests and `make docs` need

# What was tested, by hash: the locks are complete, and know what is left out on purpose
# (exclude-dependencies in pyproject.toml); then this project itself, editable.
$(READY): requirements.lock pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(TEST_READY): requirements-test.lock $(READY)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-test.lock
	touch $@

demo: env ## Train and evaluate SSD300 on built-in scenes
	$(BIN)/python tools/train_det.py --framework ssd300

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

test: check ## The whole test suite
	$(PYTEST)

quick: test-env ## Style, and the tests that take a tenth of a second at most: about a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) -m "not slow"

# The tests that compute, as on an x86 chip of before 2013, on one with AVX2 alone, and on this one;
# each on one thread or two, in either order. The runtimes of exports go by the chip itself: their
# kernels, those of 8-bit exports too, cannot be chosen. Costs and refusals are not computed.
COMPUTING := tests/backbone tests/tasks --ignore=tests/backbone/test_cost.py \
	$(patsubst %,--ignore-glob=tests/tasks/test_%, \
	bare* coreml* deploy_graph* executorch* hostile_cards* litert*)
TRAINING := tests/tools/test_two_stage.py tests/tools/test_predict.py
OLD := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE \
	TEST_THREADS=1 TEST_ORDER=reversed
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2 \
	TEST_THREADS=2 OMP_WAIT_POLICY=passive
OWN := TEST_THREADS=2 TEST_ORDER=reversed OMP_WAIT_POLICY=passive

test-chips: test-env ## The tests that compute, on older chips, two threads, and in reverse
	$(OLD) $(PYTEST) $(COMPUTING)
	$(AVX2) $(PYTEST) $(COMPUTING) $(TRAINING)
	$(OWN) $(PYTEST) $(COMPUTING) $(TRAINING)

campaign: test-env ## Kills, full disks, damaged files, attacks, races: by hand or at night, for hours
	$(BIN)/python -m tests.campaign --seed $${SEED:-0}

check: test-env ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: test-env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The theme's advice on its successor is no warning about this site.
docs: test-env ## The documentation as a site, with a reference of the library
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "written to site/; with its search: $(BIN)/python -m http.server -b 127.0.0.1 -d site"

benchmark: test-env ## Speed beside peers, in one run
	for name in inference two_stage evaluator training loader label_training label_loader s2 export start serve busy opening; do \
		$(BIN)/python -m tests.benchmarks.bench_$$name || exit 1; done

LOCK := uv pip compile --generate-hashes --no-emit-index-url --no-header --universal \
	--python-version 3.11 pyproject.toml

lock: ## Pin anew what pyproject.toml asks for (needs uv)
	$(LOCK) --extra train --group build -o requirements.lock
	$(LOCK) --extra train --group dev -c requirements.lock -o requirements-test.lock
