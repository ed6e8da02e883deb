# Two commands do everything on a machine with Python 3.11+, git and make: `make demo` and `make test`.
# PYTHON=/path/to/python3.12 chooses the interpreter; otherwise the first python3 that is 3.11 or newer is taken.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SELECT ?= not slow and not packages
REPORT ?= .cache/junit.xml
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-all lint types unit format bench lock record clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml support/scripts/setup.sh
	@support/scripts/setup.sh "$(PYTHON)"

demo: $(STAMP) ## from a chat message to a pull request on an example repository (YES=1 answers the approvals)
	@$(BIN)/python support/scripts/demo.py

serve: $(STAMP) ## the service on http://127.0.0.1:8001
	@$(BIN)/persevere serve

test: lint types unit ## lint, types and the fast tests

test-all: ## the same with the slow tests and those that download packages
	@$(MAKE) --no-print-directory test SELECT=""

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)
	@$(BIN)/mypy

unit: $(STAMP)
	@mkdir -p $(dir $(REPORT))
	@$(BIN)/python -m pytest $(if $(SELECT),-m "$(SELECT)") --junitxml=$(REPORT) $(PYTEST_ARGS)

format: $(STAMP) ## rewrite the code in the house's format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(STAMP) ## every figure of the README, one JSON line each
	@$(BIN)/python support/bench/all.py

record: $(STAMP) ## run the demo and draw support/docs/demo.svg from what it printed
	@$(BIN)/python support/scripts/record_demo.py

lock: $(STAMP) ## resolve the dependencies again into requirements.lock
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --group dev pyproject.toml -o requirements.lock

clean: ## remove what make and the tools have made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .cache
