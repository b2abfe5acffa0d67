# Every target sets up what it needs. Only git, make and Python >= 3.11 with pip are assumed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := .uv/bin/uv
PYVER  := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
export PYTHONPATH :=

.DEFAULT_GOAL := help
.PHONY: help demo demo-ui test test-all test-oldest lint format bench constraints helper-image clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 24

demo: $(VENV)/.demo  ## the OpenCV tutorial inside a real Airflow 3: commit photos, watch only what is new run (about a minute)
	@$(BIN)/python scripts/demo.py run

demo-ui: $(VENV)/.demo  ## Airflow's UI on the data of the last demo, no password (Ctrl-C ends it)
	@$(BIN)/python scripts/demo.py ui

test: $(VENV)/.dev  ## all tests that need no cluster and no S3 server
	@scripts/test

test-all: $(VENV)/.dev  ## also those that need KUBECONFIG, PACHY_TEST_S3_ENDPOINT, PostgreSQL and MariaDB (what is skipped says why)
	@scripts/test --all

test-oldest: .venv-oldest/.dev  ## what touches Airflow, on the oldest Airflow that is supported
	@VENV=.venv-oldest scripts/test tests/unit/airflow tests/integration/airflow

lint: $(VENV)/.dev  ## ruff, mypy, layer rules
	@scripts/lint

format: $(VENV)/.dev  ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix-only -q . ; $(BIN)/ruff format -q .

bench: $(VENV)/.bench  ## ours beside DVC and a bare transfer on the same store, as ratios
	@$(BIN)/python -m benchmarks $(ARGS)

helper-image: ## build the helper image (IMAGE=name:tag)
	@scripts/helper-image $(IMAGE)

constraints: $(UV)  ## pin again: newest versions that fit pyproject.toml, for each supported Python
	@scripts/constraints

clean:  ## remove environments, demo data and caches
	rm -rf $(VENV) .venv-oldest .uv .demo .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# uv and not pip: pip backtracks for minutes on Airflow's dependencies. --target needs neither the venv
# module nor leave to write into the system's own packages.
$(UV):
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "$(PYTHON) has no pip. On Debian: apt-get install python3-pip; in a virtual environment without it: deactivate"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is $(PYVER); say e.g. make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing uv ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv

$(BIN)/python: | $(UV)
	@$(UV) venv --quiet --python $(PYTHON) $(VENV)

define install
	@echo "Installing airflow-provider-pachy[$(1)] and Airflow (the first time this downloads some hundred MB) ..."
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints/$(PYVER).txt -e '.[$(1)]'
	@touch $@
endef

$(VENV)/.demo: pyproject.toml constraints/$(PYVER).txt | $(BIN)/python
	$(call install,demo)

$(VENV)/.dev: pyproject.toml constraints/$(PYVER).txt | $(BIN)/python
	$(call install,dev)

.venv-oldest/.dev: pyproject.toml constraints/airflow-3.1.txt | $(UV)
	@echo "Installing airflow-provider-pachy[dev] and Airflow 3.1 ..."
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-oldest
	@$(UV) pip install --quiet --compile-bytecode --python .venv-oldest/bin/python -c constraints/airflow-3.1.txt -e '.[dev]'
	@touch $@

$(VENV)/.bench: pyproject.toml constraints/$(PYVER).txt | $(BIN)/python
	$(call install,dev$(comma)dvc)

constraints/%.txt:
	@echo "There are no pins for Python $*: use Python 3.11, 3.12 or 3.13, e.g. make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1

comma := ,
