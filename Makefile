# Everything a user or a developer runs. `make demo` and `make test` set up what they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= out/demo
WORKERS ?= 2
DEMO_TARGETS := --target executorch-xnnpack --target litert-cpu --target onnx-cpu --target coreml --target mediapipe-task

PROFILED := executorch-xnnpack litert-cpu onnx-cpu
# Several tests run at once: threads that wait for work must not spin on the cores that others compute on.
PYTEST := OMP_WAIT_POLICY=PASSIVE OPENBLAS_NUM_THREADS=1 $(BIN)/pytest

.PHONY: zoo-targets help setup system demo check test test-all test-apps apps-tools bench bench-apps bench-ternary bench-profile bench-serving quantization schema lock clean

help:
	@echo "make demo      deploy real models to five targets on a photograph and open the way to the report"
	@echo "make test      set everything up and pass the tests (about 20 minutes on 2 cores, from nothing)"
	@echo "make test-all  the full matrix of models, targets and precisions"
	@echo "make test-apps install a Kotlin compiler and JUnit and check the sample apps, as far as a machine without a phone can"
	@echo "make check     ruff, mypy --strict, import-linter and the fast tests"
	@echo "make bench     eager, every runtime's stock exporter and ours, interleaved"
	@echo "make bench-apps  the apps' Kotlin core on this machine's JVM: a line of JSON for each step"
	@echo "make bench-ternary  the ternary kernels and their peers, interleaved: docs/ternary_bench.md"
	@echo "make bench-profile  does a second profile agree with the first on a busy machine, and what does the harness add"
	@echo "make bench-serving  what the server adds to a model, how it batches, scales and lasts: docs/serving.md"
	@echo "make quantization  what every precision costs every model: docs/quantization.md"
	@echo "make zoo-targets  every model to five targets: docs/zoo_targets.md"
	@echo "make schema    write schema/*.json from the types, and the apps' golden vectors"

# The installation compiles the ternary kernels, where there is a C++ compiler.
KERNELS := setup.py quant/kernels/compile.py $(wildcard quant/kernels/src/* quant/kernels/include/*)

$(READY): requirements.lock pyproject.toml $(KERNELS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed; set PYTHON=/path/to/python3.11"; exit 3; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: system $(READY)

# mediapipe loads the system's GL libraries even to run on the CPU; the ternary kernels are compiled.
system:
	@sh scripts/system-packages

demo: setup
	$(BIN)/edge deploy blazepose-detector $(DEMO_TARGETS) --out $(OUT)/blazepose-detector --json > /dev/null
	$(BIN)/edge deploy blazepose-full $(DEMO_TARGETS) --out $(OUT)/blazepose-full --json > /dev/null
	$(BIN)/edge deploy selfie-segmentation $(DEMO_TARGETS) --out $(OUT)/selfie-segmentation --json > /dev/null
	@$(BIN)/edge report $(OUT)
	$(BIN)/edge profile $(foreach target,$(PROFILED),$(OUT)/selfie-segmentation/$(target)@fp32) --out $(OUT)/profile
	@echo "pages: $(OUT)/report.html $(OUT)/profile/profile.html"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -n $(WORKERS) -m "not slow and not full"

test: setup
	@sh scripts/system-packages tests
	@$(MAKE) --no-print-directory apps-tools || echo "the apps' tools are not all here: what needs them is skipped by name"
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not full" --durations=40

test-all: setup
	@sh scripts/system-packages tests
	@$(MAKE) --no-print-directory apps-tools || echo "the apps' tools are not all here: what needs them is skipped by name"
	$(PYTEST) -n $(WORKERS) --dist loadfile

# The compiler comes from npm, Android's signatures and its resource compiler from PyPI, into a folder that git ignores;
# their versions stand in apps/versions.toml.
apps-tools: $(READY)
	@sh scripts/system-packages apps
	@test -e apps/.tools/node_modules/kotlin-compiler || npm install --prefix apps/.tools --no-audit --no-fund --silent \
		kotlin-compiler@$$(sed -n 's/^compiler = "\(.*\)".*/\1/p' apps/versions.toml)
	@test -e apps/.tools/python/android-stubs -a -e apps/.tools/python/tree_sitter_swift || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--target apps/.tools/python $$(sed -n '/^\[checks\]/,$$ s/^\([a-z0-9-]*\) = "\([^"]*\)".*/\1==\2/p' apps/versions.toml)

test-apps: setup apps-tools
	$(PYTEST) tests/apps

bench: setup
	$(BIN)/python -m bench.latency

bench-apps: setup apps-tools
	PYTHONPATH=tests/apps $(BIN)/python -m bench.apps

bench-ternary: setup
	$(BIN)/python -m bench.ternary

bench-profile: setup
	$(BIN)/edge deploy selfie-segmentation $(addprefix --target ,$(PROFILED)) --launches 0 --out out/bench-profile > /dev/null
	$(BIN)/python -m bench.profile_overhead
	$(BIN)/python -m bench.profile_repeat $(foreach target,$(PROFILED),out/bench-profile/$(target)@fp32)

bench-serving: setup
	$(BIN)/python -m bench.serving --page

zoo-targets: setup
	$(BIN)/python -m bench.zoo_targets

quantization: setup
	$(BIN)/python -m bench.quantization

schema: $(READY)
	$(BIN)/python scripts/write_schema.py
	$(BIN)/python scripts/write_policy_vectors.py
	$(BIN)/python -m scripts.write_manifest_vectors
	$(BIN)/python -m scripts.write_preprocess_vectors
	$(BIN)/python -m scripts.write_decode_vectors
	$(BIN)/python -m scripts.write_smoothing_vectors
	$(BIN)/python scripts/write_oip_vectors.py
	$(BIN)/python scripts/write_client_vectors.py

lock: $(READY)
	$(BIN)/python scripts/write_lock.py

clean:
	rm -rf $(VENV) out build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
