# One machine with python3, make and the internet is enough: `make run` and `make test` do everything, without root.

.DEFAULT_GOAL := help
.PHONY: help install run test lint types contracts format sdk check acceptance reliability bench audit sbom clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A uv that is on the PATH is used; else one is fetched into .uv, for this checkout alone.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
# What is compiled stays: without that each of them compiles all it imports, which takes longer than the rest of its start.
unexport PYTHONDONTWRITEBYTECODE
# Where the tests and the programs they start look for tools of the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## show this
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## make .venv from uv.lock, fetching uv if there is none

PORT ?= 8000
run: install ## set up on the first start, then serve on 127.0.0.1:8000 (another port: make run PORT=9000)
	@$(BIN)/portal init
	@$(BIN)/portal serve --port $(PORT)

test: install ## the whole suite that needs no root, on SQLite and on a real Postgres
	$(BIN)/python -m tests.subreaper $(BIN)/pytest

lint: install ## ruff: lint and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install ## mypy, strict
	$(BIN)/mypy

contracts: install ## import-linter: imports point down only
	$(BIN)/lint-imports

format: install ## let ruff write
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

sdk: install ## the generators and linters of tests/sdk, with a Java, a Go and a Node of their own: half a gigabyte
	$(UV) sync --locked --quiet --project tests/sdk/python
	PATH="$(CURDIR)/tests/sdk/python/.venv/bin:$$PATH" npm ci --silent --ignore-scripts --prefix tests/sdk/node
	GOCACHE="$(CURDIR)/tests/sdk/.go-cache" GOTOOLCHAIN=local CGO_ENABLED=0 tests/sdk/python/.venv/bin/go build encoding/xml net/http/httputil regexp

check: lint types contracts sdk test ## everything a change must pass

acceptance: install ## the big checks: 4 GiB up and down, export, rescue, from nothing
	$(BIN)/python -m tests.subreaper $(BIN)/pytest -n 0 -s -m acceptance tests/e2e

# One suite alone, or another amount: make reliability SUITE=kills, PORTAL_TEST_KILLS=300 make reliability SUITE=kills
SUITE ?= *
SUITES = $(if $(filter races,$(SUITE)),-m "race or hypothesis" tests,tests/reliability/test_$(SUITE).py)
reliability: install ## the fault, damage, abuse and load suites at the size of a release (docs/reliability.md)
	PORTAL_TEST_RELEASE=1 $(BIN)/python -m tests.subreaper $(BIN)/pytest -n 0 -s --timeout 0 $(SUITES)
	@test '$(SUITE)' != '*' || $(MAKE) reliability SUITE=races

audit: uv ## ask osv.dev for known flaws of what the lock ships; an error where it cannot be asked (docs/supply-chain.md)
	$(UV) audit --locked --no-dev --preview-features audit-command

SBOM ?= dist/portal.cdx.json
sbom: uv ## list what the lock ships, as CycloneDX 1.5
	@mkdir -p $(dir $(SBOM))
	$(UV) export --locked --no-dev --all-extras --format cyclonedx1.5 --preview-features sbom-export --quiet -o $(SBOM)

bench: install ## measure beside nginx, rclone and others, and write README's table (docs/benchmark.md): half an hour
	$(BIN)/python -m bench --save

clean: ## remove what install and the tests made; .env and var/ stay
	rm -rf $(VENV) .uv tests/sdk/python/.venv tests/sdk/node/node_modules tests/sdk/.go-cache .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.installed: uv.lock pyproject.toml .env.example | uv
	@$(UV) sync --locked --quiet
	@touch $@

.PHONY: uv
uv:
	@command -v uv >/dev/null || test -x .uv/bin/uv || { \
		echo "fetching uv into .uv"; \
		$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r .ci/uv.txt; }
