# recface: every command a user needs. `make help` lists them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
ICT ?= ../shared/data/ict_face/ict_face.npz
PHOTOS ?= ../shared/data/london

.DEFAULT_GOAL := help
.PHONY: help setup results results-ict results-comparison tables smoke test lint format bench pictures clean

help: ## this list
	@grep -E '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { echo "make: needs Python 3.11: give its path, make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of constraints.txt into $(VENV) (about 5 GB, a few minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(STAMP) ## install everything into .venv, with exact versions

results: $(STAMP) ## train every row of the ablation on the embedded benchmark (three seeds) and write results/
	@$(BIN)/python src/sweep.py sweeps/ablation.yaml --workers $(WORKERS)
	@$(BIN)/python src/tables.py

results-ict: $(STAMP) ## the same on scan statistics with real photographs (needs the ICT face model: ICT=path)
	@$(BIN)/python src/sweep.py sweeps/ablation_ict.yaml face_model.path=$(ICT) --workers $(WORKERS)
	@$(BIN)/python src/tables.py

results-comparison: $(STAMP) ## also what is not ours: mean face, eos, fit, 40 minutes (on scan statistics too where ICT and PHOTOS are found)
	@for seed in 0 1 2; do $(BIN)/python src/peers.py eos_noisy,fit_noisy seed=$$seed || exit 1; done
	@$(BIN)/python src/peers.py mean_face,eos,fit
	@if [ -e $(ICT) ]; then $(BIN)/python src/peers.py all face_model=ict face_model.path=$(ICT) $(if $(wildcard $(PHOTOS)),data.photos=$(PHOTOS)); fi
	@$(BIN)/python src/sweep.py sweeps/comparison.yaml --workers $(WORKERS)
	@$(BIN)/python src/tables.py

tables: $(STAMP) ## rebuild results/ from the finished runs, without training
	@$(BIN)/python src/tables.py

smoke: $(STAMP) ## one tiny run of every experiment, end to end
	@$(BIN)/python src/sweep.py sweeps/ablation.yaml scale=smoke seed=0 paths.runs=runs/smoke --workers $(WORKERS) --no-tables

test: $(STAMP) ## the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(STAMP) ## ruff, check only
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(STAMP) ## ruff, mending what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(STAMP) ## speed measurements, each against a peer
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

pictures: $(STAMP) ## draw docs/*.png again (both face models where the ICT one is found)
	@$(BIN)/python src/pictures.py $(if $(wildcard $(ICT)),--data $(dir $(patsubst %/,%,$(dir $(ICT)))))

clean: ## remove the cache of face models and benchmarks (runs and results stay)
	rm -rf .cache
