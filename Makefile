# make demo   set up .venv and run the main job         make test    set up .venv and run the tests
# make check  ruff, mypy and the tests                  make slow    the tests that take minutes
# make bench  the benchmarks                            make setup   only set up .venv
# make gallery  draw docs/gallery from its stored results   make docs   the pages, into build/docs/index.html
# make looks  open every stored page in Chromium, wide and narrow, light and dark: pictures into build/looks, faults told
# make notebooks  write pages of the docs as notebooks, into docs/notebooks
# make papers  compute the statements of papers, into docs/papers.md
# make storm  kills, damage, signals and bad input by the thousand
# make wheel  build wheel and sdist into dist/, install each in an environment of its own, and let it run a study
# make lowest  the tests with the lowest versions that pyproject.toml allows, but torch's: before each release
# make clean  remove .venv and caches; runs/ stays      PYTHON=python3.12 chooses another Python

SHELL := bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# one stamp per name of PYTHON: another Python means another environment
READY := $(VENV)/.ready-$(subst /,_,$(PYTHON))
BENCH_READY := $(READY)-bench
DOCS_READY := $(READY)-docs

# uv installs without bytecode: where the shell forbids Python to write it, each process would compile pandas anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test setup check lint types slow storm bench gallery looks notebooks papers docs wheel lowest clean

demo: $(READY)
	$(BIN)/phasescope run grokking

test: $(READY)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

setup: $(READY)

check: lint types
	@$(MAKE) --no-print-directory test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

slow: $(READY)
	$(BIN)/python -m pytest -m "slow and not gpu"

# each prints its counts and fails where it found a fault, and the next one runs all the same; see tests/storms/README.md
storm: $(READY)
	@failed=; for storm in kills corruption disks signals bad_input; do \
		echo "storm: $$storm"; $(BIN)/python tests/storms/$$storm.py || failed+=" $$storm"; done; \
	if [ -n "$$failed" ]; then echo "storm: faults in$$failed"; exit 1; else echo "storm: no faults"; fi

bench: $(BENCH_READY)
	$(BIN)/python benchmarks/ensemble.py

gallery: $(READY)
	$(BIN)/python docs/gallery/make.py
	$(BIN)/python docs/gallery/redo.py

looks: $(READY)
	$(BIN)/python docs/gallery/looks.py

notebooks: $(DOCS_READY)
	$(BIN)/python docs/notebooks.py

papers: $(READY)
	$(BIN)/phasescope papers --page > docs/papers.md.new && mv docs/papers.md.new docs/papers.md

docs: $(DOCS_READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

# libraries are those of $(VENV), by way of PYTHONPATH, on which its editable install is not found
wheel: $(READY)
	rm -rf dist build/wheel
	@$(BIN)/hatchling build -d dist >/dev/null 2>&1
	@ls -l dist/*
	@set -o pipefail; export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONPATH=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	for built in "$$PWD"/dist/*; do \
		$(BIN)/python -m venv --clear --without-pip build/wheel && \
		$(BIN)/uv -q pip install --python build/wheel/bin/python --no-deps --no-build-isolation "$$built" && \
		(cd build/wheel && bin/phasescope --version && bin/phasescope papers grokking | tail -1 && \
		bin/phasescope run asymmetric-margin --seeds 1 --quiet && test -s runs/*/report.html && \
		bin/python -c 'import phasescope, sys; sys.exit(sys.prefix not in phasescope.__file__)') || exit 1; done

# old libraries may use what newer ones call deprecated; torch is that of constraints.txt, for others weigh gigabytes
lowest: $(READY)
	$(BIN)/python -m venv --clear --without-pip build/lowest
	UV_FIND_LINKS="$${PIP_FIND_LINKS// /,}" $(BIN)/uv -q pip install --python build/lowest/bin/python --resolution lowest-direct \
		-e . $$(grep -E '^(torch|pytest|pytest-xdist|hypothesis|jaxtyping|beartype)==' constraints.txt) hatchling
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 build/lowest/bin/python -m pytest -n 2 --dist loadfile -o filterwarnings=default

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment -----------------------------------------------------------------------------------------------------

# Installs the extras $(1) with uv, or with pip where uv can not be had or fails. An installer is heard only when it
# fails, and then without the addresses of package registries.
define install
	quietly() { \
		local said; said=$$("$$@" 2>&1) && return; \
		sed -E 's#[A-Za-z][A-Za-z0-9+.-]*://[^ )>"`]*#(address)#g' <<<"$$said" >&2; return 1; \
	}; \
	pip() { quietly $(BIN)/python -m pip --disable-pip-version-check install "$$@"; }; \
	export UV_FIND_LINKS="$${PIP_FIND_LINKS// /,}"; \
	pip uv && quietly $(BIN)/uv pip install --python $(BIN)/python -e '.[$(1)]' -c constraints.txt || { \
		echo "uv did not do it; trying pip, which takes a few minutes." >&2; \
		pip -e '.[$(1)]' -c constraints.txt || { \
			echo "The packages could not be installed; the lines above say why." >&2; exit 1; }; }
endef

$(READY): pyproject.toml constraints.txt
	@if ! command -v $(PYTHON) >/dev/null || ! $(PYTHON) -c '' 2>/dev/null; then \
		echo "There is no $(PYTHON) that runs: install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Phasescope needs 3.11 or newer. Name one: make PYTHON=python3.12" >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; fi
	@echo "Setting up $(VENV) (once; 1.4 GB on disk, half a minute where torch need not be downloaded) ..."
	@version='import sys; print(sys.version_info[:3])'; \
	if [ "$$($(BIN)/python -c "$$version" 2>/dev/null)" != "$$($(PYTHON) -c "$$version")" ]; then \
		$(PYTHON) -m venv --clear $(VENV); fi
	@$(call install,dev)
	@touch $@

$(BENCH_READY): $(READY)
	@echo "Adding JAX to $(VENV), the baseline of the benchmarks ..."
	@$(call install,dev$(comma)bench)
	@touch $@

$(DOCS_READY): $(READY)
	@echo "Adding Sphinx to $(VENV) ..."
	@$(call install,dev$(comma)docs)
	@touch $@

comma := ,
