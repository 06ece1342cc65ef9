# `make` alone prints what there is. `make run` and `make test` do all their own set-up.
PYTHON ?= python3
BIN := .venv/bin
PIP_FLAGS := --quiet --no-compile --disable-pip-version-check --require-hashes
RUN_ARGS ?=
MODE ?= sigv4
DEPLOY_ARGS ?=
ROLLBACK_ARGS ?=
DESTROY_ARGS ?=
FUZZ_RUNS ?= 1000000
BENCH_ARGS ?=
LOAD_ARGS ?=
CDK := $(BIN)/python -m infra.cdk_cli
# Where it is set, every interpreter compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test check format format-check lint types web web-check synth bench load fuzz soak deploy rollback destroy clean lock

help: ## Print this
	@echo "Cognito edge gateway: a login in front of a Lambda function URL."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# --- set-up: each environment once, and again only when its lock changes --------------------------------------------

install: ## Install everything into .venv* (the other commands do it themselves)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 15) else f"Python 3.11 to 3.14 is needed (cfn-lint and PyYAML are not there for 3.15 yet); {sys.executable} is {v.major}.{v.minor}. Choose another: make PYTHON=python3.13 ...")'
	@$(MAKE) --no-print-directory -s -j2 .venv/.installed .venv-emulator/.installed
	@$(MAKE) --no-print-directory -s -j2 .venv-runtime/.installed .venv-wheels/.installed

.venv/.installed: requirements/dev.txt
	@echo "install: .venv (infra, local, scripts, tests): about half a minute"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install $(PIP_FLAGS) -r requirements/dev.txt
	@touch $@

.venv-emulator/.installed: requirements/emulator.txt
	@echo "install: .venv-emulator (the AWS emulator, apart from our packages)"
	@$(PYTHON) -m venv --clear .venv-emulator
	@.venv-emulator/bin/python -m pip install $(PIP_FLAGS) -r requirements/emulator.txt
	@touch $@

.venv-runtime/.installed: requirements/runtime.txt .venv/.installed
	@echo "install: .venv-runtime (Lambda's runtime client, apart from everything)"
	@rm -rf .venv-runtime
	@$(BIN)/python -m pip install $(PIP_FLAGS) --target .venv-runtime -r requirements/runtime.txt
	@touch $@

.venv-wheels/.installed: requirements/edge.txt requirements/backend.txt .venv/.installed
	@echo "install: .venv-wheels (what the functions ship, for Lambda and for this machine)"
	@$(BIN)/python -m infra.bundle --download-wheels
	@touch $@

.venv-fuzz/.installed: requirements/fuzz.txt
	@echo "install: .venv-fuzz (the fuzzer, apart from everything)"
	@$(PYTHON) -m venv --clear .venv-fuzz
	@.venv-fuzz/bin/python -m pip install $(PIP_FLAGS) -r requirements/fuzz.txt
	@touch $@

.venv-bench/.installed: requirements/bench.txt .venv/.installed
	@echo "install: .venv-bench (Node for the Node contestant)"
	@rm -rf .venv-bench
	@$(BIN)/python -m pip install $(PIP_FLAGS) --target .venv-bench -r requirements/bench.txt
	@touch $@

.venv-cdk/.installed: infra/cli/package-lock.json .venv/.installed
	@echo "install: .venv-cdk (the CDK command line, with the Node that .venv has)"
	@$(BIN)/python -m infra.toolkit
	@mkdir -p .venv-cdk && touch $@

# --- daily work -----------------------------------------------------------------------------------------------------

run: install ## Start the whole gateway on this machine (RUN_ARGS="--port 9000 ...", MODE=oac)
	@exec $(BIN)/python -m local --parent-pid $$PPID --signing $(MODE) $(RUN_ARGS)

test: install .venv-cdk/.installed ## Run every test (TEST_ARGS="tests/unit")
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(TEST_ARGS)

check: format-check lint types web-check test synth ## Exactly what CI runs: format, lint, types (the page's too), tests, synth
	@echo "check: all passed"

format: install ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

format-check: install
	@$(BIN)/ruff format --check .

lint: install
	@$(BIN)/ruff check .

types: install
	@$(BIN)/mypy edge infra backend local scripts benchmarks

web: install ## Build the example's page into web/dist (make run and make deploy do it themselves)
	@$(BIN)/python -m infra.web_build

web-check: install ## Check the page: types, lint, unit tests
	@$(BIN)/python -m infra.web_build check

bench: install .venv-bench/.installed ## Measure against what people use today (BENCH_ARGS="--quick")
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

load: install ## 50 requests a second for two minutes: nothing lost, nothing grows (LOAD_ARGS="--seconds 20")
	@$(BIN)/python -m benchmarks.load $(LOAD_ARGS)

fuzz: .venv-fuzz/.installed ## Fuzz the parsers, a million executions each (about 15 minutes; FUZZ_RUNS=...)
	@for name in policy target token event jwks answer; do \
	  echo "fuzz: $$name"; .venv-fuzz/bin/python tests/fuzz/fuzz_$$name.py -runs=$(FUZZ_RUNS) || exit 1; done

soak: install ## 200,000 requests in one process: memory has to stay flat
	@$(BIN)/python tests/soak.py

synth: install ## Write the CloudFormation templates to cdk.out/ (no credentials, no network)
	@$(BIN)/python -m infra.app

deploy: install .venv-cdk/.installed ## Deploy to AWS: checks, difference, deployment, smoke test (docs/deploy.md)
	@$(CDK) deploy $(DEPLOY_ARGS)

rollback: install .venv-cdk/.installed ## Put the edge function's version before this one back
	@$(CDK) rollback $(ROLLBACK_ARGS)

destroy: install .venv-cdk/.installed ## Remove it from AWS; says what remains, and when to run again
	@$(CDK) destroy $(DESTROY_ARGS)

clean: ## Remove every environment, build and cache (a running local system first has to be stopped)
	@rm -rf .venv .venv-* benchmarks/node/node_modules web/node_modules web/dist .local cdk.out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: install ## Resolve requirements/*.in again into hashed requirements/*.txt (deliberately)
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv==0.13.9
	@cd requirements && for name in edge backend runtime emulator fuzz bench dev; do \
	  ../.venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" $$name.in -o $$name.txt || exit 1; done
