# make demo   sets up .venv and runs the whole way once, small: raw text to a scored model and a page to look at
# make test   sets up .venv and runs all tests
# make lint   ruff and mypy
# make clean  removes what the demo made (the virtual environment stays)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    ?= runs/demo
STAMP  := $(VENV)/.installed

.PHONY: setup demo test lint clean

setup: $(STAMP)

$(STAMP): setup.py constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "error: '$(PYTHON)' is not on this machine: install Python 3.11 or newer, or name yours with  make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed, this is $$($(PYTHON) --version 2>&1): name another with  make PYTHON=python3.11"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: this Python has no 'venv' module: on Debian or Ubuntu install it with  apt install python3-venv"; exit 2; }
	@echo "setting up $(VENV) (pinned packages from constraints.txt; some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,eval,plots,web,ray,dev]' || { echo "error: the packages could not be installed: is this machine connected to a package index? pip's own message stands above"; exit 1; }
	@touch $(STAMP)

demo: setup
	@$(BIN)/python -m llemma demo --out $(RUN)

# Two workers: the suite is planned for a machine with two cores.
test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf runs proof-pile-sample
