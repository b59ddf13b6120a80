# make setup | test | slow | dashboard | format | bench | everest
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SCENE ?= data/demo/scene
BUNDLE ?= data/demo/bundle
PREDICTION ?= data/demo/prediction
PORT ?= 5006

.PHONY: setup browser lint test slow dashboard demo format bench everest clean

setup: $(STAMP)

$(STAMP): requirements.txt constraints.txt tests/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "cryonet needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "venv failed: on Debian, install the package python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements.txt -r tests/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt -e .
	@touch $(STAMP)

# Debian's Chromium, for the browser test only.
browser:
	@command -v chromium > /dev/null || { \
	  echo "installing chromium"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq chromium > /dev/null; \
	  else sudo apt-get update -qq && sudo apt-get install -y -qq chromium > /dev/null; fi; } \
	  || { echo "chromium is missing: install it, the browser test needs it"; exit 1; }

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup browser lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow"
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -p no:cacheprovider --force-enable-socket \
	  -W default --nbmake --nbmake-timeout=900 notebooks

# Tests that take minutes: several processes, bounded memory.
slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

dashboard: setup
	$(BIN)/cryonet serve --scene $(SCENE) --bundle $(BUNDLE) --prediction $(PREDICTION) --port $(PORT)

# The embedded sample, from nothing but the recipe.
demo: setup
	$(BIN)/python data/recipes/demo.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format cryonet dashboards tests

# The peers. Those that ask for a newer Python, or for much that they are not used for, lie in a
# folder of their own.
PEERS := $(VENV)/peers
$(PEERS): $(STAMP) tests/benchmarks/requirements.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -r tests/benchmarks/requirements.txt
	$(BIN)/python -m pip install --quiet --upgrade --target $(PEERS) --no-deps \
	  --ignore-requires-python xarray-spatial==0.10.20 monai==1.6.1 torchgeo==0.8.1 \
	  pytorch-toolbelt==0.8.0 einops==0.8.2
	@touch $(PEERS)

bench: $(PEERS)
	@for f in tests/benchmarks/bench_*.py; do \
	  echo "== $$f"; PYTHONPATH=$(CURDIR)/$(PEERS) $(BIN)/python $$f || exit 1; done

EVEREST ?= ../shared/data/everest_landsat7
SEEDS ?= 0
everest: setup
	$(BIN)/python data/recipes/everest.py $(EVEREST) --seeds $(SEEDS)

clean:
	rm -rf $(VENV) build *.egg-info
