# What a contributor does, and what CI does. `make` alone lists it.
# Set-up happens once, by itself; pip takes its settings (index, find-links, proxy) from the environment.
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/.ready-to-run
DEV := .venv/.ready-to-develop
MLFLOW := .venv/mlflow-server/bin/mlflow
BENCH := .venv/.ready-to-compare
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --no-compile --constraint constraints.txt

unexport PYTHONDONTWRITEBYTECODE # modules are compiled when they are first imported, and once

.DEFAULT_GOAL := help
.PHONY: help demo run test check format tables docs bench faults cluster e2e wheel pythons clean

help: ## list these targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /  make \1\t/' | expand -t 16

demo: $(RUN) ## train on real house prices through a real server, live, and predict
	@$(BIN)/traind demo

run: $(RUN) ## serve on http://127.0.0.1:3001; PORT=, HOST= and TRAIND_... choose otherwise, ARGS= adds flags
	$(BIN)/traind serve $(ARGS)

test: $(DEV) ## every test but the long fault runs and the browser's, in three processes, which often wait; ARGS= goes to pytest
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

check: $(DEV) ## lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(DEV) ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

tables: $(DEV) ## write the tables in docs/ that are made from the code
	$(BIN)/python docs/tables.py

docs: $(DEV) ## the manual as a site in build/docs, made without a network; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky -q -b html docs build/docs

bench: $(BENCH) ## what is measured, as tables; ONLY=name for one of them
	$(BIN)/python -m bench $(ONLY)

faults: $(DEV) $(MLFLOW) ## the long fault runs, MLflow's real server among them, with their counts and seeds; SEEDS= replays some, ARGS= goes to pytest
	$(PIP) --no-build-isolation --editable '.[frameworks,ray]'
	$(BIN)/python -m pytest -m faults -s -o "norecursedirs=.* e2e" $(ARGS)
	TRAIND_START_PLACES=20 TRAIND_WEBHOOK_KILLS=1000 TRAIND_NIGHTS=10 $(BIN)/python -m pytest --timeout 0 \
		tests/trainer/tabular/test_start_from.py tests/service/webhooks tests/flow/test_retrain.py \
		tests/flow/test_forking_host.py tests/flow/test_silent_jobs.py tests/flow/test_process_one.py
	$(BIN)/python tests/cluster/with_cluster.py $(BIN)/python -m pytest --timeout 300 \
		-m "anywhere or anywhere_long" tests/flow tests/service/studies
	TRAIND_EXAMPLES=500 $(BIN)/python -m pytest --timeout 0 tests/data tests/trainer/contract tests/service/validation

cluster: $(DEV) ## jobs on a real Ray cluster of three nodes, started on this machine for it; ARGS= goes to pytest
	$(PIP) --no-build-isolation --editable '.[ray]'
	$(BIN)/python tests/cluster/with_cluster.py $(BIN)/python -m pytest \
		-m "(cluster or anywhere) and not faults" --timeout 300 \
		tests/cluster tests/flow tests/service/studies tests/service/executor/ray $(ARGS)

e2e: $(DEV) ## the page in a real Chromium
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "" tests/e2e $(ARGS)

wheel: $(DEV) ## build wheel and sdist into dist/, check them, install the wheel in a bare environment, train one job with it
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	.ci/wheel dist/*.whl

pythons: wheel ## the wheel under each Python that is here: installed, one job trained
	.ci/pythons dist/*.whl

clean: ## remove what was built, the environment included
	rm -rf .venv dist build *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "traind needs Python 3.11 or newer; say which with PYTHON=")'
	$(PYTHON) -m venv .venv

$(RUN): constraints.txt pyproject.toml | .venv/bin/python
	$(PIP) setuptools
	$(PIP) --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUN)
	$(PIP) --no-build-isolation --editable '.[test,check,docs,e2e,examples]'
	@touch $@

$(MLFLOW): tests/service/mirrors/mlflow-server.txt | .venv/bin/python # in a place of its own: it needs an older pandas
	$(PYTHON) -m venv .venv/mlflow-server
	.venv/mlflow-server/bin/python -m pip --quiet --disable-pip-version-check install -r $<
	@touch $@

$(BENCH): $(DEV)
	$(PIP) --no-build-isolation --editable '.[bench]'
	@touch $@
