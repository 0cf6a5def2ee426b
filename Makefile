# Everything a person or CI does here. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
SECONDS ?=
# torch is not in the training lock, because PyPI's wheel brings CUDA. Where pip does not find a CPU wheel by itself,
# give it PyTorch's CPU index: make train TORCH_INDEX=ADDRESS
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
TESTS ?= tests
# What the tests run beside Python, as program:Debian package; installed by root, and by a CI machine with sudo.
PROGRAMS ?= mosquitto:mosquitto mosquitto_sub:mosquitto-clients promtool:prometheus \
  prometheus-alertmanager:prometheus-alertmanager docker-registry:docker-registry
ARGS ?=
# The two bundles that `make gate` compares.
CANDIDATE ?= build/models
CHAMPION ?= service/models

PIP = -m pip --no-input --disable-pip-version-check -qq install
FULL := .venv/bin/python
EDGE := .venv-edge/bin/python
EDGE_LOCKS := service/requirements.lock simulator/requirements.lock
FULL_LOCKS := $(EDGE_LOCKS) training/requirements.lock tests/requirements.lock
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: .venv-edge/.stamp ## motors fail in fast motion, alerts arrive; SECONDS=45 ends by itself
	@exec $(EDGE) -m simulator demo $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

.PHONY: test
test: .venv/.stamp .venv-edge/.stamp programs ## every test; TESTS=tests/service ARGS=-x for fewer
	@$(FULL) -m pytest -q $(TESTS) $(ARGS)

.PHONY: e2e
e2e: .venv/.stamp programs ## the images and the compose stack, on a container engine that it starts if none runs
	@E2E=1 $(FULL) -m pytest -q tests/containers $(ARGS)

.PHONY: e2e-workflows
e2e-workflows: .venv/.stamp programs ## GitHub's workflows on this machine, against a registry on the loopback -> build/e2e-workflows
	@E2E_WORKFLOWS=1 $(FULL) -m pytest -q tests/workflows $(ARGS)

.PHONY: e2e-redeploy
e2e-redeploy: .venv/.stamp programs ## a push becomes new models in a running edge, with a timeline -> build/e2e-redeploy
	@E2E_REDEPLOY=1 $(FULL) -m pytest -q tests/redeploy $(ARGS)

.PHONY: check
check: .venv/.stamp ## lint, types, import rules, AsyncAPI, settings, locks, workflows, scripts
	@export PATH="$$PWD/.venv/bin:$$PATH"
	failed=()
	run() { # NAME COMMAND...
	  if output=$$("$${@:2}" 2>&1); then echo "ok      $$1"; else failed+=("$$1"); echo "FAILED  $$1"; echo "$$output"; fi
	}
	run lint      ruff check --output-format concise .
	run format    ruff format --check --output-format concise .
	run types     mypy
	run imports   lint-imports
	run asyncapi  python -m service.contract.asyncapi --check
	run settings  python -m service.reference --check
	run locks     python -m pytest -q tests/structure/test_locks.py
	run workflows actionlint
	run actions   zizmor --offline --quiet --persona auditor .github
	run policy    python -m pytest -q tests/structure/test_workflows.py
	run scripts   shellcheck $$(grep -rlE '^#!.*\b(ba)?sh$$' .ci deploy)
	if [[ -e Dockerfile ]]; then run dockerfile hadolint Dockerfile; fi
	if (( $${#failed[@]} )); then echo "make check: failed: $${failed[*]}"; exit 1; fi

.PHONY: data
data: .venv/.stamp ## public recordings from their publishers, checked -> MOTOR_DATA; ARGS=cwru for some
	@$(FULL) -m training fetch $(ARGS)

.PHONY: train
train: .venv/.stamp ## makes the models in service/models from the twin, with torch
	@$(FULL) -m training train --work build/training $(ARGS)

.PHONY: gate
gate: .venv/.stamp ## candidate against champion on a frozen replay, refused where it got worse -> build/gate
	@$(FULL) -m training gate $(CANDIDATE) $(CHAMPION) $(ARGS)

.PHONY: evaluate
evaluate: .venv/.stamp ## every figure of the models, honestly -> build/evaluation (needs MOTOR_DATA; under 15 minutes)
	@$(FULL) -m training evaluate $(ARGS)

.PHONY: gan
gan: .venv/.stamp ## rare failures, made and judged: the whole report -> build/gan (20 minutes; resumes)
	@$(FULL) -m training gan report $(ARGS)

.PHONY: bench
bench: .venv/.stamp programs ## throughput, latency, memory, start-up -> build/bench.json
	@$(FULL) -m tests.bench $(ARGS)

.PHONY: soak
soak: .venv/.stamp programs ## the long versions of the tests -> build/soak
	@SOAK=1 $(FULL) -m pytest -q -m soak $(TESTS) $(ARGS)

.PHONY: lock
lock: ## resolves the dependencies anew into the four requirements.lock
	@test -x .venv/bin/uv || { $(PYTHON) -m venv .venv && $(FULL) $(PIP) uv; }
	compile() { # LOCK OPTIONS...
	  .venv/bin/uv pip compile pyproject.toml "$${@:2}" --output-file "$$1" --quiet --universal --python-version 3.11 \
	    --fork-strategy fewest --generate-hashes --no-annotate --no-emit-package torch \
	    --custom-compile-command "make lock" $(ARGS)
	}
	mkdir -p build
	compile build/all.lock --all-extras --group dev --upgrade
	compile service/requirements.lock --extra edge --constraints build/all.lock
	compile simulator/requirements.lock --extra simulator --constraints build/all.lock
	compile training/requirements.lock --extra training --extra recordings --constraints build/all.lock
	compile tests/requirements.lock --group dev --constraints build/all.lock

.PHONY: clean
clean: ## removes environments, caches and build outputs
	@rm -rf .venv .venv-edge build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: programs
programs:
	@PATH="$$PATH:/usr/sbin"
	missing=()
	for pair in $(PROGRAMS); do
	  command -v "$${pair%%:*}" >/dev/null || missing+=("$${pair#*:}")
	done
	if (( ! $${#missing[@]} )); then exit 0; fi
	root=()
	if [[ $$(id -u) != 0 && $${CI:-} = true ]] && sudo -n true 2>/dev/null; then root=(sudo -n); fi
	if [[ $$(id -u) != 0 && -z "$${root[*]}" ]] || ! command -v apt-get >/dev/null; then
	  echo "missing: install it with 'apt-get install $${missing[*]}', or what your system calls it"; exit 1
	fi
	echo "installing $${missing[*]}"
	mkdir -p build
	export DEBIAN_FRONTEND=noninteractive
	{ "$${root[@]}" apt-get update -qq && "$${root[@]}" apt-get install -y -qq "$${missing[@]}"; } >build/apt.log 2>&1 </dev/null \
	  || { tail -5 build/apt.log; exit 1; }

.venv-edge/.stamp: $(EDGE_LOCKS)
	@echo "setting up .venv-edge (edge and twin, without torch)"
	$(call environment,.venv-edge)
	$(EDGE) $(PIP) --require-hashes --no-deps $(EDGE_LOCKS:%=-r %)
	touch $@

.venv/.stamp: $(FULL_LOCKS)
	@echo "setting up .venv (everything, with torch)"
	$(call environment,.venv)
	$(FULL) $(PIP) --require-hashes --no-deps $(FULL_LOCKS:%=-r %)
	$(FULL) $(PIP) --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(FULL) -W ignore -c 'import torch' || { echo "torch does not load; name a CPU index: make TORCH_INDEX=ADDRESS"; exit 1; }
	touch $@

define environment
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then
  if [[ $$(id -u) = 0 ]] && command -v apt-get >/dev/null; then
    apt-get update -qq >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
  else echo "Python's venv is missing: apt-get install python3-venv"; exit 1; fi
fi
$(PYTHON) -m venv $1
endef
