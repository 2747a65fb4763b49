# recface: every command a user needs. `make help` lists them.
# The first Python that runs and can make venvs; PYTHON=/path/to/python overrides.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13; do \
	$$python -c 'import ensurepip, venv' >/dev/null 2>&1 && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One process more than cores, since some tests wait.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3
WORKERS ?= 2
MINUTES ?= 60
SEEDS ?= 0
ICT ?= ../shared/data/ict_face/ict_face.npz
PHOTOS ?= ../shared/data/london

.DEFAULT_GOAL := help
.PHONY: help setup results results-converged results-ict results-comparison tables smoke test coverage lint format docs bench fuzz pictures clean

help: ## this list
	@grep -E '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	|| { echo "make: needs Python 3.11, 3.12 or 3.13: give its path, make PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of constraints.txt into $(VENV) (about 5 GB, a few minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(STAMP) ## install everything into .venv, with exact versions

results: $(STAMP) ## train every row of the ablation for half an hour (three seeds) and write results/small.md
	@$(BIN)/recface sweep sweeps/ablation.yaml --workers $(WORKERS)
	@$(BIN)/recface tables

results-converged: $(STAMP) ## the rows that the claims rest on, for hours, seed by seed: results/ablation.md (SEEDS=0,1,2)
	@$(BIN)/recface sweep sweeps/converged.yaml seed=$(SEEDS) --workers $(WORKERS)
	@$(BIN)/recface tables

results-ict: $(STAMP) ## the same on scan statistics with real photographs (needs the ICT face model: ICT=path)
	@$(BIN)/recface sweep sweeps/converged.yaml seed=$(SEEDS) face_model=ict face_model.path=$(ICT) data.photos=$(if $(wildcard $(PHOTOS)),$(PHOTOS),null) --workers $(WORKERS)
	@$(BIN)/recface tables

results-comparison: $(STAMP) ## third-party baselines beside those rows: mean face, eos, fit (on scan statistics too where ICT and PHOTOS are found)
	@for seed in 0 1 2; do $(BIN)/recface baselines eos_noisy,fit_noisy scale=converged seed=$$seed || exit 1; done
	@$(BIN)/recface baselines mean_face,eos,fit scale=converged
	@if [ -e $(ICT) ]; then $(BIN)/recface baselines all scale=converged face_model=ict face_model.path=$(ICT) $(if $(wildcard $(PHOTOS)),data.photos=$(PHOTOS)); fi
	@$(BIN)/recface tables

tables: $(STAMP) ## rebuild results/ from the finished runs, without training
	@$(BIN)/recface tables

smoke: $(STAMP) ## one tiny run of every row of the ablation, end to end
	@$(BIN)/recface sweep sweeps/ablation.yaml scale=smoke seed=0 paths.runs=runs/smoke --workers $(WORKERS) --no-tables

test: $(STAMP) ## the tests
	@$(PYTEST)

coverage: $(STAMP) ## the tests with the share of lines that they run; below 90% fails
	@$(PYTEST) --cov --cov-report=term

lint: $(STAMP) ## ruff and mypy, check only
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(STAMP) ## ruff, fixing what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: $(STAMP) ## build the site from docs/ into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict && echo site/index.html

bench: $(STAMP) ## speed measurements, each against an alternative, into results/benchmarks.json and .md (15 minutes)
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
	@echo results/benchmarks.md

fuzz: $(STAMP) ## read damaged and forged files with every reader, for an hour (MINUTES=5: for five minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --minutes $(MINUTES)

pictures: $(STAMP) ## draw docs/*.png again (both face models where the ICT one is found)
	@$(BIN)/recface pictures $(if $(wildcard $(ICT)),--data $(dir $(patsubst %/,%,$(dir $(ICT)))))

clean: ## remove the cache of face models and benchmarks (runs and results stay)
	rm -rf .cache
