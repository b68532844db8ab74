# make demo   installs into .venv, inverts the bundled example, prints where the report is
# make test   installs what the tests need and runs them
# make lint   style, types, import contract
# make docs   builds the site into build/site, strictly
# make bench  measures the engine beside its peers; writes benchmarks/latest.json

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint docs bench clean

demo: $(VENV)/.installed
	@$(BIN)/strainscope invert examples/ggg444-simulated.xy --sample ggg444 --intensity counts -o demo-report --force
	@echo "Open demo-report/report.html in a browser."

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/.installed-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open build/site/index.html in a browser."

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks

$(BIN)/python:
	@for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	  if $$candidate -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    echo "creating $(VENV) with $$($$candidate --version)"; \
	    exec $$candidate -m venv $(VENV); \
	  fi; \
	done; \
	echo "strainscope needs Python 3.11, 3.12 or 3.13 with its venv module (Debian, Ubuntu: apt install python3-venv); found: $$(python3 --version 2>&1)" >&2; \
	exit 1

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing (a minute or two the first time)"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(INSTALL) --editable '.[networks,gold,sweep,docs,web,test,lint]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(INSTALL) --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) demo-report build dist .pytest_cache .mypy_cache .ruff_cache
