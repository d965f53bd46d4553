# Each command sets up .venv by itself. Another Python than python3: make test PYTHON=python3.12
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Keyed on what the two files say, not on their dates: after a checkout all dates are new.
READY  := $(VENV)/ready-$(shell cat requirements.txt pyproject.toml | cksum | cut -d ' ' -f 1)
# One thread: the test runs two processes, and more threads would add up in another order.
QUIET  := OMP_NUM_THREADS=1 WSSS_QUIET=1
NBVAL  := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval.cfg --nbval-cell-timeout 900

# Threads that wait sleep soon: on a machine that does other work too, spinning ones make everything many times slower.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 3000

.PHONY: help setup book execute test run bench faults evidence ablations address lint format crf clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make .venv with everything in it (the other commands do this by themselves)

book: $(READY) ## build the book; EXECUTE=1 runs all chapters afresh before; a warning counts as an error
	$(if $(filter 1,$(EXECUTE)),$(BIN)/python book/execute.py)
	$(BIN)/jupyter-book build . --all -n -W --keep-going
	@$(BIN)/python book/built.py

execute: $(READY) ## run the chapters and write them with their outputs
	$(BIN)/python book/execute.py

test: lint book ## check the style, build the book, then run all tests and every chapter
	$(QUIET) $(BIN)/python -m pytest -n 2 --dist loadfile $(NBVAL) tests book

run: $(READY) ## run every stage on the drawn dataset and write runs/toy/report.html
	$(BIN)/python -m wsss_lib run toy

faults: $(READY) ## damage 5,000 files, kill 40 processes, give 250 wrong settings, and see what becomes of it (an hour)
	$(QUIET) $(BIN)/python -m tests.faults

bench: $(READY) ## measure the speed of the slow parts, as ratios
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks

evidence: $(READY) ## measure again every number that the book states (slow)
	$(BIN)/python book/evidence.py

ablations: $(READY) ## measure again the ablations of the book (slow)
	$(BIN)/python book/ablations.py

address: $(READY) ## URL=https://... REF=v0.1.0: write the public address into the notebooks
	$(BIN)/python book/address.py $(if $(findstring command,$(origin URL)),--url "$(URL)" --ref "$(REF)")

lint: $(READY) ## check the style of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## bring the code into that style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

crf: $(READY) ## compile the fast dense CRF where pip alone cannot (Python 3.13; needs a C++ compiler)
	$(BIN)/python -m pip install --quiet 'cython>=3' setuptools wheel
	$(BIN)/python -m pip install --no-build-isolation 'pydensecrf2>=1.1'

clean: ## remove what was built; .venv, data/ and runs/ stay
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache
	find book data_scripts tests wsss_lib -name __pycache__ -prune -exec rm -rf {} +

# Only the extra crf needs a compiler, so it comes last and may fail: then the package is installed without.
$(READY):
	@test -f $(VENV)/bin/activate && $(BIN)/python -m pip --version > /dev/null 2>&1 || { \
		$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
			echo "This project needs Python 3.10 to 3.13, and $(PYTHON) is another: choose one with make PYTHON=python3.12"; \
			exit 1; }; \
		$(PYTHON) -m venv --clear $(VENV); }
	@echo "Setting up $(VENV): a few minutes, and about 6 GB with the GPU libraries that torch brings on Linux."
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@$(BIN)/python -m pip install --quiet --editable '.[crf]' > $(VENV)/crf.log 2>&1 \
		|| $(BIN)/python -m pip install --quiet --no-deps --editable .
	@$(BIN)/python -c 'import pydensecrf' 2> /dev/null \
		|| echo "The fast dense CRF (pydensecrf2) is not installed: the slower built-in one is used. 'make crf' compiles it."
	@rm -f $(VENV)/ready-* && touch $@
