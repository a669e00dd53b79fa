# Two commands suffice: `make test` and `make reproduce`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
PROFILE ?= synthetic
SEEDS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install test lint profile reproduce book check bench mutants clean

help: ## list the targets
	@echo "make TARGET [PYTHON=python3] [VENV=.venv] [PROFILE=synthetic] [SEEDS='0 1 2']"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make the environment, with the pinned versions

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || \
	  { echo "error: there is no $(PYTHON); give another: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; give another: make PYTHON=python3.12"; exit 2; }
	@echo "Installing torch and the other packages into $(VENV): 2 GB or more, some minutes, in which pip says nothing"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable ".[book,offline,onnx,plot,test]"
	@touch $@

lint: install ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint ## install, lint, and run every test, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

profile:
	@test -f params/$(PROFILE).yaml -o -f $(PROFILE) || \
	  { echo "error: there is no params/$(PROFILE).yaml; there are: $(basename $(notdir $(wildcard params/*.yaml)))"; exit 2; }

reproduce: profile install ## data, pretraining, every chapter, the book, and how it compares
	$(BIN)/mccgaa run zeroshot pretraining --profile $(PROFILE) $(if $(SEEDS),--seeds $(SEEDS))
	$(BIN)/mccgaa book execute --profile $(PROFILE)
	@page=$$($(BIN)/mccgaa book build --profile $(PROFILE)) && echo "The book: $$page"
	$(BIN)/mccgaa compare --profile $(PROFILE)

book: install ## build the published book
	@page=$$($(BIN)/mccgaa book build) && echo "The book: $$page"

check: install ## say which pages of the book are stale or failed
	$(BIN)/mccgaa book check

bench: install ## run every benchmark; prints one table of what was measured and wanted
	$(BIN)/python bench/run.py

mutants: install ## see which wrong versions of the program no test notices [MODULE=loss]
	$(BIN)/python tests/mutants/run.py $(MODULE)

clean: ## remove what was built; data, stores, runs and reruns stay
	rm -rf _build build book/_build .pytest_cache .ruff_cache .hypothesis *.egg-info
	rm -f $(INSTALLED)
	find mccgaa* tests notebooks -name __pycache__ -type d -exec rm -rf {} +
