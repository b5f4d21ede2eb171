# Every goal creates .venv and installs what it lacks; the second time that takes no time.
#
#   make lab         open JupyterLab on the first notebook   ARGS="--no-browser --port 8899"
#   make test        unit tests, then every notebook at budget ci   JOBS=2   ARGS="-k claims"
#   make course      run all notebooks headless into build/course   BUDGET=lesson   ARGS="--only 00_kd"
#   make notebooks   run all notebooks and write their outputs back (the only writer of outputs)
#   make evidence    measure what the notebooks report; hours, resumes   ARGS="--only 00_kd"
#   make bench       time kdlab against other ways to distil
#   make lint        ruff, codespell, mypy
#   make check       lint, test, and notebooks at a shrunk budget full: what CI runs
#   make clean       remove builds and caches (keeps .venv and data/cache)

PYTHON ?= python3
BUDGET ?= lesson
JOBS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
PINS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help lab test course notebooks evidence bench lint check clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

# JupyterLab listens on localhost and asks for its token. It refuses root unless told, as in a container.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

lab: $(VENV)/.lab
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/00_kd.ipynb $(ROOT) $(ARGS)

# The rehearsal of budget full takes over a minute, so it is for `make check`.
PART := -m "not rehearsal"

# One thread a process: two test processes share the cores better than two threads in each.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(RUN) pytest -n $(JOBS) $(PART) $(ARGS)

course: $(VENV)/.test
	$(RUN) kdlab course --budget $(BUDGET) --out build/course $(ARGS)

notebooks: $(VENV)/.test
	$(RUN) kdlab notebooks $(ARGS)
	$(RUN) kdlab claims --write

# KDLAB_NATURAL names an .npz file of the photographs; without it torchvision fetches them.
evidence: $(VENV)/.test
	$(RUN) kdlab evidence $(ARGS)

bench: $(VENV)/.bench
	$(RUN) bench $(ARGS)

lint: $(VENV)/.test
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) codespell_lib
	$(RUN) mypy

check: lint
	$(MAKE) test PART=

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -path ./$(VENV) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-exec rm -rf {} +

# A stamp file says which extras are installed from the present pins.
$(VENV)/.lab: EXTRAS := lab
$(VENV)/.test: EXTRAS := lab,test
$(VENV)/.bench: EXTRAS := lab,test,bench
$(VENV)/.dev: EXTRAS := lab,test,dev

$(VENV)/.lab $(VENV)/.test $(VENV)/.bench $(VENV)/.dev: $(PINS) | $(BIN)/pip
	$(RUN) pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

# pip comes last in a virtual environment, so its presence means that the environment is whole.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "kdlab needs Python 3.11 or newer and found no \
	$(PYTHON): install one, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.version_info >= (3, 11) or sys.exit( \
	"kdlab needs Python 3.11 or newer and $(PYTHON) is " + platform.python_version() \
	+ ": install a newer one, or name it: make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
