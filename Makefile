# Two commands do everything: `make demo` and `make test`. Each installs what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where a machine forbids bytecode, every start of every process would compile all packages anew: half the time of the tests.
unexport PYTHONDONTWRITEBYTECODE
export UV_NATIVE_TLS ?= 1
export UV_PROJECT_ENVIRONMENT := .venv
PY := .venv/bin/python
LAB := $(PY) -m lab
UV = $$(./lab/uv.sh)

.PHONY: bench-decisions bench-peer help setup lock fmt lint type contracts importable unit sim cluster e2e test demo lab-up lab-down lab-status crds check clean bench

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/.synced: requirements.lock pyproject.toml
	@echo "• Python packages"
	@test -x $(PY) || $(UV) venv --quiet --python 3.11 .venv || $(UV) venv --quiet .venv
	@$(UV) pip sync --quiet --python $(PY) --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(PY) --no-deps --editable .
	@touch $@

setup: .venv/.synced ## Install the Python packages (from requirements.lock) into .venv

lock: ## Write requirements*.lock anew from pyproject.toml
	@$(UV) pip compile --quiet --group dev pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header -o requirements.lock
	@$(UV) pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header -o requirements-runtime.lock
	@echo 'hatchling>=1.27' | $(UV) pip compile --quiet - --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header -o requirements-build.lock

fmt: setup ## Format the code
	@.venv/bin/ruff format -q src tests lab benchmarks
	@.venv/bin/ruff check -q --fix src tests lab benchmarks || true

lint: setup
	@.venv/bin/ruff format -q --check src tests lab benchmarks
	@.venv/bin/ruff check -q src tests lab benchmarks

type: setup
	@.venv/bin/mypy --no-error-summary

contracts: setup
	@.venv/bin/lint-imports --no-cache > .venv/contracts.log 2>&1 || { cat .venv/contracts.log; exit 1; }

crds: setup ## Generate crds/ from the models, and the chart's copy of them
	@$(PY) -m solera.api.crd crds
	@$(PY) -m solera.api.crd charts/solera/files/crds
	@cd tests && ../$(PY) -m unit.chart_shape

importable: setup
	@.venv/bin/pytest -q --collect-only tests/unit > .venv/collected.log 2>&1 || { cat .venv/collected.log; exit 1; }

# Side by side: what is imported is also compiled, once for all workers of the tests.
check: setup ## Lint, types, import contracts, generated files
	@$(MAKE) -j 2 -O lint type contracts importable
	@$(PY) -m solera.api.crd --check

unit: check ## Fast tests that need nothing (< 60 s)
	@lab/layer.sh unit

sim: setup ## Whole lives in a simulated world, invariants checked at every write
	@lab/layer.sh sim

lab-up: setup ## Start the lab: a real Kubernetes on this machine
	@$(LAB) up

lab-down: setup ## Stop the lab and leave nothing behind
	@$(LAB) down

lab-status: setup ## Show what of the lab is running
	@$(LAB) status

# With KUBECONFIG set, the tests run on that cluster; otherwise on the lab.
ifdef KUBECONFIG
IN_CLUSTER :=
NEEDS_LAB :=
else
IN_CLUSTER := $(LAB) exec --
NEEDS_LAB := lab-up
endif

cluster: setup $(NEEDS_LAB) ## Tests on a real control plane (no operator may run there)
	@$(IN_CLUSTER) lab/layer.sh cluster

e2e: setup $(NEEDS_LAB) ## Tests on the lab with live traffic
	@$(LAB) image simengine llama operator operator-next
	@$(IN_CLUSTER) lab/layer.sh e2e
	@$(IN_CLUSTER) lab/layer.sh e2e-disruptive

test: ## Everything: checks, then unit, sim, cluster and e2e tests
	@./lab/test.sh

demo: setup ## One whole life of a model, on the lab, with live traffic
	@./lab/demo.sh

bench: setup ## What many objects cost, beside a bare client in the same run (N=100: quick)
	@$(PY) -m benchmarks.scale $(if $(N),--objects $(N))

bench-decisions: setup ## Verdicts beside those of other tools, in simulated worlds (20 minutes)
	@$(PY) -m benchmarks.decisions

bench-peer: setup ## The same rollout through Flagger and through Solera, beside each other (8 minutes)
	@$(PY) -m benchmarks.peer

clean: ## Remove what was built in this folder
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
