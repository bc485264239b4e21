# Thin: every target sets up what it needs and calls the `touchstone` command. `make help` lists them.

PYTHON  ?= python3
PROFILE ?= full
SEED    ?= 0
SEEDS   ?=
DEVICE  ?= auto
JOBS    ?= 2
SCHEDULER ?=
GPU     ?=
PAPERS  ?=
AGAINST ?= HEAD
LAB     ?=
SITE    ?=
PYTEST  ?=

VENV  := .venv
BIN   := $(VENV)/bin
# The stamp carries the content of what it was made from: time stamps of a checkout mean nothing.
KEY   := $(shell cat requirements.lock pyproject.toml | cksum | cut -d ' ' -f 1)
BASE  := $(VENV)/.ready-$(KEY)
READY := $(BASE)$(if $(GPU),-$(GPU))

# One BLAS thread a process: the work is spread over processes, and skinny products lose with more.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test verify list calibrate lab site bench lock clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo "  options: PROFILE=full|quick|gpu SEED=0 SEEDS=A..B JOBS=2 SCHEDULER=tcp://HOST:8786 PAPERS='SLUG ...' DEVICE=auto|cpu|cuda GPU=cuda12|cuda13 PYTHON=python3 LAB=--allow-root SITE=--strict PYTEST=-x"

setup: $(READY)  ## make the environment in .venv (GPU=cuda12 or GPU=cuda13 adds CuPy)

$(BASE):
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "make: '$(PYTHON)' was not found; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@command -v git >/dev/null 2>&1 || { echo "make: 'git' was not found; it is needed to compare verdicts with the committed ones" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "make: Python 3.11 or newer is needed, {} is {}; name another one: make PYTHON=/path/to/python3".format(sys.executable, sys.version.split()[0]))'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: this Python cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV) from requirements.lock (once, a few minutes)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(BASE)-%: $(BASE)
	@case "$*" in cuda12|cuda13) ;; *) echo "make: GPU=$*: expected cuda12 or cuda13" >&2; exit 1 ;; esac
	@$(BIN)/python -c 'import re; print("\n".join(re.findall(r"^[^#\s][^\s;]*==[^\s;]+", open("requirements.lock").read(), re.M)))' > $(VENV)/constraints.txt
	@$(BIN)/python -m pip install --quiet --no-build-isolation --constraint $(VENV)/constraints.txt --editable '.[$*]'
	@touch $@

reproduce: $(READY)  ## run every stale notebook and write its figures and verdicts
	@$(BIN)/touchstone reproduce $(PAPERS) --profile $(PROFILE) $(if $(SEEDS),--seeds $(SEEDS),--seed $(SEED)) --device $(DEVICE) --jobs $(JOBS) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

verify: $(READY)  ## compare the verdicts just computed with the committed ones
	@$(BIN)/touchstone verify $(PAPERS) --profile $(PROFILE) --against $(AGAINST)

list: $(READY)  ## show the papers, their notebooks and verdicts
	@$(BIN)/touchstone list

test: $(READY)  ## lint, import contracts, tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST)

calibrate: $(READY)  ## measure how often each decision rule errs, on data whose truth is known
	@$(BIN)/touchstone calibrate --profile $(PROFILE) --seed $(SEED) --jobs $(JOBS)

lab: $(READY)  ## open JupyterLab on the notebooks (this machine only)
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(LAB)

site: $(READY)  ## render verdicts, findings, papers and figures to build/site/ (opens from the disk)
	@$(BIN)/touchstone site --profile $(PROFILE) $(SITE)

bench: $(READY)  ## time the library beside its peers (wants PyTorch's CPU build in .venv)
	@$(BIN)/python -c 'import torch' 2>/dev/null || { echo "make: the peer is missing; install PyTorch (its CPU build is enough): $(BIN)/pip install torch" >&2; exit 1; }
	@for script in polynomial_attention attention_gradient convolution leverage_scores sketches john_ellipsoid sparsegpt hyper_attention; do \
	    OPENBLAS_NUM_THREADS=2 OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 $(BIN)/python benchmarks/$$script.py || exit 1; done

lock:  ## resolve requirements.lock and environment.yml anew (needs uv)
	@command -v uv >/dev/null 2>&1 || { echo "make: 'uv' was not found; install it with pip install uv" >&2; exit 1; }
	@uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --extra dev pyproject.toml --output-file requirements.lock --upgrade

clean:  ## remove what runs left under build/ (not figures/, not .venv)
	@if [ -x $(BIN)/touchstone ]; then $(BIN)/touchstone clean; else rm -rf build; fi
