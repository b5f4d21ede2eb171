# Every goal creates .venv and installs what it lacks; the second time that takes no time.
#
#   make lab         open JupyterLab on the first notebook   ARGS="--no-browser --port 8899"
#   make test        unit tests, then every notebook at budget ci   JOBS=2   ARGS="-k claims"
#   make course      run all notebooks headless into build/course   BUDGET=lesson   ARGS="--only 00_kd"
#   make site        the course as a static site in build/site   ARGS="--as-committed" runs nothing
#   make app         the lab as a web page   ARGS="--no-browser --port 8866"
#   make notebooks   run all notebooks and write their outputs back (the only writer of outputs)
#   make teach       projector pages, sheets for print, settings, into build/teaching   ARGS="--only 00_kd"
#   make evidence    measure what the notebooks report; hours, resumes   ARGS="--only 00_kd"
#   make bench       time kdlab against other ways to distil
#   make lint        ruff, codespell, mypy
#   make check       lint, test, notebooks at a shrunk budget full, other processors: what CI runs
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
.PHONY: help lab test course site app notebooks teach evidence bench lint check clean

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

# It takes what `make course` left in build/course, and runs what is missing there or stale.
site: $(VENV)/.site
	$(RUN) kdlab site --budget $(BUDGET) $(ARGS)

# Like the lab, it listens on localhost and asks for its token.
app: $(VENV)/.app
	JUPYTER_PATH="$(CURDIR)/kdlab/tools/app" $(BIN)/voila kdlab/tools/app/lab.ipynb --template=kdlab --token $(ARGS)

notebooks: $(VENV)/.test
	$(RUN) kdlab notebooks $(ARGS)
	$(RUN) kdlab claims --write

# With what `make course` has run, the explorers of its pages are alive.
teach: $(VENV)/.test
	$(RUN) kdlab teach $(ARGS)

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

# Simpler instructions of this processor stand in for other processors: they round otherwise. That a
# wrong loss turns a test red is shown once: it does not hang on rounding.
NUMERIC := $(wildcard tests/papers/*/test_method.py) tests/test_measure.py tests/train tests/bench
NUMERIC += -k 'not is_caught'

check: lint $(VENV)/.site $(VENV)/.app
	$(MAKE) test PART=
	ATEN_CPU_CAPABILITY=default $(MAKE) test ARGS="$(NUMERIC)"
	ONEDNN_MAX_CPU_ISA=SSE41 $(MAKE) test ARGS="$(NUMERIC)"
	$(RUN) kdlab evidence --only 00_kd --spot 0

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -path ./$(VENV) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-exec rm -rf {} +

# Of what pip says, what takes long: files of 30 MB and more. Its errors are on another stream.
LONG := s/^ *Downloading (.*\/)?([^-\/]+)-.*\((([3-9]|[0-9]{2,})[0-9]\.[0-9] MB)\).*/  downloading \2, \3/p; \
	s/^Installing collected packages.*/  unpacking/p

# The stamp tells whether pip succeeded, because a pipe ends as its last command does.
define install
@rm -f $@; { $(2) $(RUN) pip install --disable-pip-version-check --progress-bar off \
	-c constraints.txt $(1) && touch $@; } | sed -nE '$(LONG)'
@test -e $@ || { echo 'pip says above what is wrong. The same command tries again.'; exit 1; }
endef

# A stamp file says that an extra is installed from the present pins. The first one installs kdlab
# itself; each of the others adds what its extra names, and installs nothing twice.
TORCH = $(wildcard $(VENV)/lib/python*/site-packages/torch)
FIRST := Installing kdlab, JupyterLab and PyTorch into $(VENV), only once: about 3 GB to download \
	on Linux, less elsewhere. It took 3 to 4 minutes on a laptop with a fast network.
AGAIN := Installing what kdlab and JupyterLab lack in $(VENV): about a minute.

$(VENV)/.lab: $(PINS) | $(BIN)/pip
	@echo '$(if $(TORCH),$(AGAIN),$(FIRST))'
	$(call install,-e '.[lab]')

EXTRA := import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"][sys.argv[1]], sep="\n")

$(VENV)/.test: TOLD := the test tools, only once: about a minute
$(VENV)/.bench: TOLD := torchdistill, only once: about a minute
$(VENV)/.site: TOLD := Sphinx and its theme, only once: about half a minute
$(VENV)/.app: TOLD := Voila, only once: a few seconds
$(VENV)/.dev: TOLD := pre-commit, only once: a few seconds
$(VENV)/.dev $(VENV)/.site: | $(VENV)/.test

$(VENV)/.test $(VENV)/.bench $(VENV)/.site $(VENV)/.app $(VENV)/.dev: $(VENV)/.%: $(PINS) | $(VENV)/.lab
	@echo 'Installing $(TOLD).'
	$(call install,-r /dev/stdin,$(BIN)/python -c '$(EXTRA)' $* |)

# pip comes last in a virtual environment, so its presence means that the environment is whole.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "kdlab needs Python 3.11 or newer and found no \
	$(PYTHON): install one, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.version_info >= (3, 11) or sys.exit( \
	"kdlab needs Python 3.11 or newer and $(PYTHON) is " + platform.python_version() \
	+ ": install a newer one, or name it: make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
