# `make` alone prints what there is. `make run` and `make test` do all their own set-up.
PYTHON ?= python3
BIN := .venv/bin
RUN_ARGS ?=
MODE ?= sigv4
DEPLOY_ARGS ?=
ROLLBACK_ARGS ?=
DESTROY_ARGS ?=
FUZZ_RUNS ?= 1000000
BENCH_ARGS ?=
LOAD_ARGS ?=
COMPILE := ../.venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"
CDK := $(BIN)/python -m infra.deploy.cdk_cli
# Where it is set, every interpreter compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test check format format-check lint types web web-check synth dist bench load fuzz soak deploy rollback destroy clean lock

help: ## Print this
	@echo "Cognito edge gateway: a login in front of a Lambda function URL."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# --- set-up: each place once, and again only when its lock changes ---------------------------------------------------

install: for-test ## Install everything that is used below into .venv* (the other commands do it themselves)

# for-run, for-test, for-bench, for-fuzz, for-lock: what infra/install.py has under that name.
for-%:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 15) else f"Python 3.11 to 3.14 is needed (cfn-lint and PyYAML are not there for 3.15 yet); {sys.executable} is {v.major}.{v.minor}. Choose another: make PYTHON=python3.13 ...")'
	@$(PYTHON) -m infra.install to-$* $(if $(filter file,$(origin PYTHON)),,--this-python)

# --- daily work -----------------------------------------------------------------------------------------------------

run: for-run ## Start the whole gateway on this machine (RUN_ARGS="--port 9000 ...", MODE=oac)
	@exec $(BIN)/python -m local --parent-pid $$PPID --signing $(MODE) $(RUN_ARGS)

test: for-test ## Run every test (TEST_ARGS="tests/edge")
	@$(BIN)/python -m infra.deploy.toolkit
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(TEST_ARGS)

# synth before test: it compiles CDK once, where each of the tests' workers would.
check: format-check lint types web-check synth test ## Exactly what CI runs: format, lint, types (the page's too), synth, tests
	@echo "check: all passed"

format: for-test ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

format-check: for-test
	@$(BIN)/ruff format --check .

lint: for-test
	@$(BIN)/ruff check .

types: for-test
	@$(BIN)/mypy

web: for-run ## Build the example's page into web/dist (make run and make deploy do it themselves)
	@$(BIN)/python -m infra.deploy.web_build

web-check: for-run ## Check the page: types, lint, unit tests
	@$(BIN)/python -m infra.deploy.web_build check

bench: for-bench ## Measure against what people use today (BENCH_ARGS="--quick")
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

load: for-run ## 50 requests a second for two minutes: nothing lost, nothing grows (LOAD_ARGS="--seconds 20")
	@$(BIN)/python -m benchmarks.load $(LOAD_ARGS)

fuzz: for-fuzz ## Fuzz the parsers, a million executions each (about 15 minutes; FUZZ_RUNS=...)
	@for name in policy target token event jwks answer; do \
	  echo "fuzz: $$name"; PYTHONPATH=.:edge .venv-fuzz/bin/python tests/fuzz/fuzz_$$name.py -runs=$(FUZZ_RUNS) || exit 1; done

soak: for-test ## 200,000 requests in one process: memory has to stay flat
	@$(BIN)/python tests/soak.py

synth: for-run ## Write the CloudFormation templates to cdk.out/ (no credentials, no network)
	@$(BIN)/python -m infra.app

dist: for-run ## Build the wheel and the source distribution into dist/ (wants a CPython 3.13)
	@$(BIN)/python -m hatchling build --directory dist

deploy: for-run ## Deploy to AWS: checks, difference, deployment, smoke test (docs/deploy.md)
	@$(CDK) deploy $(DEPLOY_ARGS)

rollback: for-run ## Put the edge function's version before this one back
	@$(CDK) rollback $(ROLLBACK_ARGS)

destroy: for-run ## Remove it from AWS; says what remains, and when to run again
	@$(CDK) destroy $(DESTROY_ARGS)

clean: ## Remove every environment, build and cache (a running local system first has to be stopped)
	@rm -rf .venv .venv-* benchmarks/node/node_modules web/node_modules web/dist .local cdk.out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: for-lock ## Resolve requirements/*.in again into hashed requirements/*.txt (deliberately)
	@cd requirements && for name in dev run edge backend fuzz emulator runtime bench lock; do \
	  case $$name in run | edge | backend | fuzz) as=dev.txt;; *) as=/dev/null;; esac; \
	  $(COMPILE) --constraint $$as $$name.in -o $$name.txt || exit 1; done; \
	grep -v '^#' pips.in | while read -r pip; do echo "$$pip" | $(COMPILE) - || exit 1; done > .pips && mv .pips pips.txt
