# Every target prepares what it needs: `make demo` and `make test` work on a fresh clone. `make` alone lists the targets.

PYTHON := .venv/bin/python
# More than there are cores: what takes long here mostly waits, for targets, timeouts and processes that start.
WORKERS ?= 3
CHECKED := stella_pipelines assets resources sensors tests benchmarks scripts deploy
# Some machines point these at the system's certificates; `requests` then uses them in place of the CA that it was given.
unexport REQUESTS_CA_BUNDLE CURL_CA_BUNDLE

.DEFAULT_GOAL := help
.PHONY: help demo install up test test-fast lint format types imports docs docs-check bench chaos decisions image wheel clean ready-demo ready-test

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ready-demo ## three releases through real gates onto real engines (LAB=embedded: without Docker; KEEP=1: leave it up)
	@scripts/as_root.sh .venv/bin/stella demo

install: ready-demo ## make .venv with the `stella` command; then: . .venv/bin/activate

up: ready-demo ## database, daemon and web UI of an installation in ./.stella, until Ctrl-C
	@.venv/bin/stella up

test: ready-test lint types imports ## everything that CI runs (some eighteen minutes on two cores)
	@scripts/as_root.sh $(PYTHON) -m pytest -n $(WORKERS) -q

test-fast: ready-test ## unit and property tests, on SQLite only
	@STELLA_TEST_DATABASES=sqlite $(PYTHON) -m pytest -n $(WORKERS) -q tests/unit tests/property

lint: ready-test ## style and format
	@.venv/bin/ruff check $(wildcard $(CHECKED))
	@.venv/bin/ruff format --check $(wildcard $(CHECKED))

format: ready-test ## put the files into the project's format
	@.venv/bin/ruff check --fix $(wildcard $(CHECKED))
	@.venv/bin/ruff format $(wildcard $(CHECKED))

types: ready-test ## mypy, strict
	@.venv/bin/mypy

imports: ready-test ## the floors of the house
	@.venv/bin/lint-imports

docs: ready-test ## write the reference pages that come from the code
	@$(PYTHON) -m scripts.generate_docs

docs-check: ready-test ## the pages say what the code says, and links lead somewhere
	@$(PYTHON) -m pytest -q tests/docs

bench: ready-test ## measure; ONLY=name for one benchmark; writes build/bench.json
	@scripts/as_root.sh $(PYTHON) -m benchmarks $(if $(ONLY),--only $(ONLY))

chaos: ready-test ## kill each process of an installation in turn while fifty deployments are at work (STELLA_CHAOS_DEPLOYMENTS=n)
	@STELLA_CHAOS_DEPLOYMENTS=$(or $(STELLA_CHAOS_DEPLOYMENTS),50) scripts/as_root.sh $(PYTHON) -m pytest -q -s tests/e2e/test_killed_processes.py

decisions: ready-test ## a thousand decisions by processes that are killed at random, on either database, and all of the evidence checked
	@STELLA_DECISIONS=$(or $(STELLA_DECISIONS),1000) scripts/as_root.sh $(PYTHON) -m pytest -q tests/e2e/test_killed_deciders.py

image: ## the container image for deploy/compose.yaml (with wheels in deploy/wheelhouse: without internet)
	@docker build -f deploy/Dockerfile -t stella-pipelines:0.1.0 .

wheel: ready-demo ## build the wheel into dist/
	@$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what was made here (except .venv), and labs whose owner died
	@if [ -x $(PYTHON) ]; then scripts/as_root.sh $(PYTHON) -m stella_pipelines.lab sweep; fi
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

ready-demo:
	@scripts/bootstrap.sh demo

ready-test:
	@scripts/bootstrap.sh test
