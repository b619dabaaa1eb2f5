# The one door to the project: people, the README and CI call these targets and nothing else.
# Needed on the machine: make, and Python 3.11, 3.12 or 3.13.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-annotate

# Arguments for one call: make test ARGS="-k gate", make bench ARGS="--transactions 50000"
ARGS ?=

.PHONY: help setup close check types unit style test stack-test mutate fuzz attack soak leak-scan ui docs lint format bench landing-bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: ## Make the environment in .venv (instant when it is up to date)
	@bin/install $(VENV)

close: setup ## Make the sample week, close each date, pay each payment date, show the table
	@$(BIN)/tieout sample $(ARGS)

test: setup ## Run all tests
	@$(BIN)/python -m pytest $(ARGS)

stack-test: setup ## Run the stack in containers: land, close, pay (bin/stack-engine brings an engine)
	@$(BIN)/python -m pytest -n 0 --timeout-method=signal --stack full tests/stack $(ARGS)

check: style ## Check style and types, run the unit tests of program and models (minutes)
	@$(MAKE) --no-print-directory --jobs=2 types unit

# Both at once: mypy works on one core.
types:
	@$(BIN)/mypy

unit:
	@$(BIN)/python -m pytest tests/unit tests/dbt/test_dbt.py $(ARGS)

mutate: setup ## Change the SQL one place at a time; the tests must fail for each (an hour)
	@$(BIN)/python bin/mutate $(ARGS)

fuzz: setup ## Change files of every format for a minute; the parsers must accept or refuse each
	@$(BIN)/python bin/fuzz $(ARGS)

attack: setup ## Try to be paid wrongly in every known way, and on drawn wrong days (minutes)
	@$(BIN)/python -m pytest tests/attacks $(ARGS)

soak: setup ## Play histories of payouts under a lying bank and a dying process (minutes)
	@$(BIN)/python bin/soak $(ARGS)

leak-scan: setup ## Look for card numbers and people's data in the clear, everywhere in the home
	@$(BIN)/tieout leak-scan

ui: setup ## Open Airflow with its web page on the sample week (Ctrl-C stops it)
	@$(BIN)/tieout ui $(ARGS)

docs: setup ## Build the dbt docs and the Data Docs, and say where they are
	@$(BIN)/tieout docs $(ARGS)

lint: style types ## Check style, types, imports and YAML of the whole project

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --cache-dir .mypy_cache/imports
	$(BIN)/yamllint --strict .
	$(BIN)/python bin/check-sql
	$(BIN)/python bin/gate-docs --check

format: setup ## Rewrite the Python files in the project's style
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: setup ## Close one day of 200,000 transactions and say how long each stage took
	@$(BIN)/tieout bench $(ARGS)

landing-bench: setup ## Land 1,000,000 rows of each bulk format, beside a bare COPY of the same rows
	@$(BIN)/python bin/landing-bench $(ARGS)

lock: setup ## Pin requirements.in and requirements-uv.in anew, with hashes
	$(UV_COMPILE) --upgrade --output-file requirements-uv.txt requirements-uv.in
	$(UV_COMPILE) --upgrade --output-file requirements.txt requirements.in

clean: ## Stop the server and remove var/ (a home elsewhere is yours to remove)
	@if [ -x $(BIN)/tieout ]; then TIEOUT_HOME=$(CURDIR)/var $(BIN)/tieout stop; fi
	rm -rf var .mypy_cache .pytest_cache .ruff_cache dbt_project/target dbt_project/logs
