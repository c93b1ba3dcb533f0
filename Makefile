# Every target does its own set-up: all that a machine needs is make and a Python with venv.

VENV := .venv
PY := $(VENV)/bin/python

# The first Python that is new enough; to choose another: make test PYTHON=/opt/python/bin/python3
SUITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(SUITS)' 2>/dev/null && { echo "$$python"; break; }; done)
UV ?= uv
WORKERS ?= auto

# What is installed is kept in two stamps, so that nothing is done twice until the requirements change.
RUN := $(VENV)/run.stamp
DEV := $(VENV)/dev.stamp
BENCH := build/bench/stamp
SHIP := $(VENV)/ship.stamp
CLIENTS := $(VENV)/clients
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --quiet

.DEFAULT_GOAL := help
.PHONY: help install run test check crash soak fuzz grow bench bench-open bench-profile bench-search bench-import clients lint ship sbom lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(DEV) ## set up .venv with everything for development

run: $(RUN) ## start the demo: sandbox mbizmarket, service, sample catalog and a token
	@$(PY) -m app demo

test: $(DEV) ## run all tests, on SQLite and on PostgreSQL, on up to four cores; WORKERS=0: one after the other
	@$(PY) -m pytest --numprocesses $(WORKERS) --maxprocesses 4

crash: $(DEV) ## the whole crash matrix: kills and faults at every step, on both databases
	@CRASH=full $(PY) -m pytest tests/crash --timeout 900

soak: $(DEV) ## ten minutes of random calls, kills and faults on both databases, then every promise checked
	@$(PY) -m tests.soak --minutes 10

fuzz: $(DEV) ## send 20,000 made-up requests and hold every answer to the published document
	@$(PY) -m tests.fuzz --cases 20000

grow: $(DEV) ## replicas, failover and PgBouncer at length, a quarter of an hour: needs haproxy and pgbouncer
	@GROW=full $(PY) -m pytest tests/grow -vv --timeout 1600

bench: $(DEV) $(BENCH) ## compare with others and with the targets: minutes; LONG=1 for growth and memory, too
	@$(PY) -m bench $(if $(LONG),--long)

bench-open: $(DEV) $(BENCH) ## draw latency against the rate at which requests arrive
	@$(PY) -m bench.open_loop

bench-profile: $(DEV) $(BENCH) ## draw where the time of a request goes
	@$(PY) -m bench.profiles

bench-search: $(DEV) ## milliseconds of every kind of search with 7,000, 50,000 and 1,000,000 satkers, on both databases
	@$(PY) -m bench.search

bench-import: $(DEV) ## import a million lines, twice and killed in the middle, on both databases; FILE=… for a real one, too
	@$(PY) -m bench.imports $(FILE)

clients: $(DEV) ## set up the generators of clients that the tests try (needs node and npm)
	@npm ci --silent --prefix tests/clients
	@"$(PYTHON)" -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement tests/clients/requirements.txt

lint: ## lint the published documents (after make clients)
	@REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npm run --silent --prefix tests/clients lint

check: $(DEV) ## hold the code to its rules: format, lint, types, imports, schema, published documents
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest tests/test_house.py tests/test_packaging.py
	$(PY) -m tests.alembic_check
	$(PY) -m app openapi | diff openapi/service.json - \
		|| { echo 'Out of date. To renew it: $(PY) -m app openapi > openapi/service.json' >&2; exit 1; }
	$(PY) -m app.published.problems | diff openapi/problems.md - \
		|| { echo 'Out of date. To renew it: $(PY) -m app.published.problems > openapi/problems.md' >&2; exit 1; }
	$(PY) -m tests.published.breaking

ship: $(SHIP) sbom ## lint the Dockerfile; hold compose.yaml and k8s/ to their schemas; the bill of materials
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(VENV)/bin/kubernetes-validate --strict --kubernetes-version 1.33 deploy/k8s/*.yaml

sbom: $(SHIP) ## write what the image is made of to build/sbom.json (CycloneDX)
	@mkdir -p build
	@PYTHONWARNINGS=ignore $(VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
		--output-file build/sbom.json requirements/run.txt

lock: ## renew requirements/*.txt from pyproject.toml (needs uv)
	$(COMPILE) pyproject.toml --output-file requirements/run.txt
	$(COMPILE) pyproject.toml --group dev --constraints requirements/run.txt --output-file requirements/dev.txt
	$(COMPILE) tests/clients/requirements.in --output-file tests/clients/requirements.txt
	$(COMPILE) bench/requirements.in --output-file bench/requirements.txt
	$(COMPILE) deploy/requirements.in --constraints requirements/dev.txt --output-file deploy/requirements.txt

$(PY):
	@"$(PYTHON)" -c '$(SUITS)' 2>/dev/null || \
		{ echo 'This needs Python 3.11 or newer with venv (Debian: python3-venv); name one by PYTHON=' >&2; exit 1; }
	@echo 'Setting up $(VENV), once'
	@"$(PYTHON)" -m venv --clear $(VENV)

$(RUN): requirements/run.txt | $(PY)
	@$(INSTALL) $<
	@touch $@

$(DEV): requirements/dev.txt | $(PY)
	@$(INSTALL) $<
	@touch $(RUN) $@

$(SHIP): deploy/requirements.txt $(DEV)
	@$(INSTALL) $<
	@touch $@

$(BENCH): bench/setup.sh bench/requirements.txt $(wildcard bench/contenders/*.js*) | $(PY)
	@bench/setup.sh $(PY)
	@touch $@
