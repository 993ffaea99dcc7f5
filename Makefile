# On a fresh clone: `make demo` (the whole loop on real data) and `make test` (all tests).
# Each does its own set-up first, once, and again only when the lock changes. `make help` lists the rest.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?=
WORKERS ?= 2
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

export PYTHON
unexport PYTHONDONTWRITEBYTECODE  # without compiled files every command would load its libraries anew, in seconds

.PHONY: help setup demo test test-unit check format lint types imports fmt bench bench-data bench-serving bench-releases bench-drift bench-loop lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv from the lock (PYTHON=/path chooses the interpreter)

$(READY): requirements.lock pyproject.toml scripts/setup
	@scripts/setup
	@touch $@

demo: $(READY) ## Show the whole loop on real data (about a minute)
	@$(BIN)/everloop demo $(ARGS)

# Each worker computes on one thread: two workers with two threads each would fight over two cores.
test: $(READY) ## Run all tests (WORKERS=2; ARGS="-k name" to choose)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-unit: $(READY) ## Run the unit tests only: no servers, no I/O, seconds
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) tests/unit $(ARGS)

check: format lint types imports ## Run the house checks: format, lint, types, import rules

format: $(READY) ## Check the formatting
	@$(BIN)/ruff format --check .

lint: $(READY) ## Check style, bugs and security patterns
	@$(BIN)/ruff check .

types: $(READY) ## Check the types (strict)
	@$(BIN)/mypy

imports: $(READY) ## Check which part may import which
	@$(BIN)/lint-imports

fmt: $(READY) ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(READY) ## Time each step of a turn and show where the time goes
	@$(BIN)/python -m bench.turn $(ARGS)

bench-data: $(READY) ## Version twenty tables beside Parquet, DVC and Lance (ARGS="--quick")
	@$(BIN)/python -m bench.data.run $(ARGS)

bench-serving: $(READY) ## Measure serving beside its peers (ARGS="--quick" for a short look)
	@$(BIN)/python -m bench.serving $(ARGS)

bench-releases: $(READY) ## Release by every strategy, beside Flagger, Argo Rollouts and Kayenta (ARGS="--quick")
	@$(BIN)/python -m bench.releases $(ARGS)

bench-drift: $(READY) ## Monitor beside Evidently, NannyML, alibi-detect, whylogs, scipy and River (ARGS="--quick")
	@$(BIN)/python -m bench.drift $(ARGS)

bench-loop: $(READY) ## Replay policies of retraining over real streams (ARGS="--quick")
	@$(BIN)/python -m bench.loop $(ARGS)

lock: ## Resolve the dependencies anew into requirements.lock (needs uv; ARGS="--upgrade" for the newest)
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev pyproject.toml \
		--no-header --generate-hashes --no-emit-index-url --no-emit-find-links $(ARGS) -o requirements.lock

clean: ## Remove .venv and everything that tools have cached
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
