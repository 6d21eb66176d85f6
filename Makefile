# make book                    install, render the committed pages, print the page to open
# make book PROFILE=smoke      execute every page first (no download), render that copy
# make test [JOBS=n]           everything that is checked before a change lands
# make explore                 open the explorer in JupyterLab, with a kernel
# make reproduce PROFILE=laptop [JOBS=n] [UNITS=all] [GRID=book/grids/x.yaml] [EXECUTOR=slurm]
#                              re-execute every page through Snakemake, and compute what is missing; the same command resumes
# make verify [IMAGES=n] [SEED=n]   compute stored images of the laptop profile again, and compare them with their record
# make bench                   time ours beside the plain way and four libraries (data/results/laptop/bench-*.csv)
# make reliability             bring about every fault of tests/reliability, and store the counts that the page shows
# make environment             install what both need into .venv, and nothing else
# make pages                   execute the committed pages in place, at their own parameters
# make clean                   remove what was built; the environment and data/ stay
#
# PYTHON names the interpreter of a new .venv (3.11 or newer). Without a GPU, UV_TORCH_BACKEND=cpu saves 4 GB of download.

PYTHON ?= python3
JOBS ?= 2
PROFILE ?=
IMAGES ?= 20

VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
export PYTHONUTF8 := 1
UV := $(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python
SOURCE := $(if $(PROFILE),_build/pages,.)

.PHONY: book test reproduce verify reliability bench environment pages explore clean
.DELETE_ON_ERROR:

book: $(VENV)/.installed
ifneq ($(PROFILE),)
	python -m lib.pages run --profile $(PROFILE) --out _build/pages
endif
	rm -rf _build/html _build/.doctrees _build/.jupyter_cache   # else a second build is silent about old warnings
	jupyter-book build $(SOURCE) --path-output . -W --keep-going -n --quiet
	@echo "open file://$(CURDIR)/_build/html/index.html"

reproduce: $(VENV)/.installed-test $(VENV)/.installed-batch
	python -m lib.batch --jobs $(JOBS) $(if $(PROFILE),--profile $(PROFILE)) $(if $(UNITS),--units $(UNITS)) \
	  $(if $(GRID),--grid $(GRID)) $(if $(EXECUTOR),--executor $(EXECUTOR)) $(OPTIONS)

verify: $(VENV)/.installed
	OMP_NUM_THREADS=1 python -m lib.runs.verify --images $(IMAGES) $(if $(SEED),--seed $(SEED))

reliability: environment
	FAULTS=data/results/laptop/reliability.csv OMP_NUM_THREADS=1 python -m pytest tests/reliability -q

test: environment
	ruff check lib tests benchmarks
	OMP_NUM_THREADS=1 python -m pytest -n $(JOBS) --dist loadfile

environment: $(VENV)/.installed-test $(VENV)/.installed-batch

bench: $(VENV)/.installed-bench
	OMP_NUM_THREADS=1 python -m benchmarks --profile $(or $(PROFILE),laptop) --fresh

pages: $(VENV)/.installed
	python -m lib.pages run --in-place

explore: $(VENV)/.installed-live
	jupyter lab book/beyond/explorer.ipynb

clean:
	rm -rf _build *.egg-info
	find lib tests book benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: " + sys.executable + " is Python " \
	  + sys.version.split()[0] + "; 3.11 or newer is needed. Name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/uv
	$(UV) -r requirements.txt
	@touch $@

$(VENV)/.installed-test: requirements-test.txt $(VENV)/.installed
	$(UV) -r requirements-test.txt
	@touch $@

$(VENV)/.installed-bench: requirements-bench.txt $(VENV)/.installed
	$(UV) -r requirements-bench.txt
	@touch $@

$(VENV)/.installed-live: requirements-live.txt $(VENV)/.installed
	$(UV) -r requirements-live.txt
	@touch $@

$(VENV)/.installed-batch: requirements-batch.txt | $(VENV)/bin/uv
	$(VENV)/bin/uv venv --quiet --allow-existing --python $(VENV)/bin/python $(VENV)/batch
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/batch/bin/python -r requirements-batch.txt
	@touch $@
