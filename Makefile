# Two commands do all set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := .venv/.ready

.PHONY: env demo test quick test-chips campaign check format lock benchmark

env: $(READY)

# Everything that was tested, by hash: the lock is complete, and knows what is left out on purpose
# (exclude-dependencies in pyproject.toml); then this project itself, editable.
$(READY): requirements.lock pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: env ## Train and evaluate SSD300 on built-in scenes
	$(BIN)/python tools/train_det.py --framework ssd300

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

test: check ## The whole test suite
	$(PYTEST)

quick: env ## Style, and the tests that take a tenth of a second at most: about a minute
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

test-chips: env ## The tests that compute, on older chips, two threads, and in reverse
	$(OLD) $(PYTEST) $(COMPUTING)
	$(AVX2) $(PYTEST) $(COMPUTING) $(TRAINING)
	$(OWN) $(PYTEST) $(COMPUTING) $(TRAINING)

campaign: env ## Kills, full disks, damaged files, attacks, races: by hand or at night, for hours
	$(BIN)/python -m tests.campaign --seed $${SEED:-0}

check: env ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: env ## Speed beside peers, in one run
	for name in inference two_stage evaluator training loader label_training label_loader s2 export start serve busy opening; do \
		$(BIN)/python -m tests.benchmarks.bench_$$name || exit 1; done

lock: ## Pin anew what pyproject.toml asks for (needs uv)
	uv pip compile --generate-hashes --no-emit-index-url --no-header --universal \
		--python-version 3.11 --extra train --group dev pyproject.toml -o requirements.lock
