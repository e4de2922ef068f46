# `make demo` and `make test` do all the set-up they need: Python 3.11+ and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PACKAGE = $(VENV)/.package
STAMP = $(VENV)/.installed
BASE ?= localhost/cab-base:bookworm
IMAGES = aider qwen-code checks
AGENTS = aider claude-code codex copilot droid kilo mini-swe-agent opencode openhands pi qwen-code
SOURCES = $(shell find proxy scoring adapters \( -name '*.py' -o -path '*/report/templates/*' -o -path '*/report/assets/*' -o -path '*/images/template/*' \) -not -path '*/suite/*')

ROUNDS ?= 3
SECONDS ?= 1800

.PHONY: demo test test-slow coverage check release wheel sync docs test-agents test-harnesses test-containers test-slurm test-fleet test-ray test-postgres catalogue schemas reference bench guard soak help

help:
	@echo "make demo         one scored cell, end to end, and its page, with no key and no network"
	@echo "make test         all tests but the slow ones, and those of real agents, of harnesses, of containers, of Slurm and of Ray"
	@echo "make test-slow    what is slow: pages in Chromium, PostgreSQL, kills and full disks, all of the bundled tasks, guides, wheels, installations"
	@echo "make coverage     both, and which lines of the code ran"
	@echo "make check        formatter, linters, type checkers, import rules, workflows and container files"
	@echo "make release      what a release consists of, in dist/: sdist, wheel, bill of materials, hashes; nothing is published"
	@echo "make wheel        build sdist and wheel, install them in each way of docs/install.md, try it there"
	@echo "make test-slurm   sweeps on a real Slurm and a real sshd, each part killed in the middle (as root)"
	@echo "make test-fleet   48 cells of three real agents on a real Slurm, one node of which is killed (as root)"
	@echo "make test-ray     a sweep on two nodes of Ray, one killed in the middle; installs Ray (240 MB)"
	@echo "make test-agents  install eleven real agents and run them, and what else is installed, in cells"
	@echo "make test-harnesses  install Harbor, mini-swe-agent and promptfoo, and run the examples of docs/harnesses.md in them"
	@echo "make test-containers  install two agents, build their images and that of the checks, run what needs real containers (BASE=...)"
	@echo "make test-postgres  what ships ledgers to a real PostgreSQL; a part of make test-slow"
	@echo "make catalogue    run the faults and the stacks; write docs/catalogue.md and docs/endpoints.md"
	@echo "make schemas      write scoring/schemas/*.json from the models"
	@echo "make reference    write the tables of docs/settings.md and docs/cli.md from the code"
	@echo "make docs         build the documentation site into site/, and check it; installs MkDocs (60 MB)"
	@echo "make bench        the proxy beside nginx and others; writes docs/performance.md (ROUNDS=3)"
	@echo "make guard        ratios to a bare proxy that no change may raise"
	@echo "make soak         half an hour of half load, faults, reloads, archives: does anything grow? (SECONDS=1800)"
	@echo "make sync         install again (after adding or removing a module)"

# The package alone is what the demo needs; the tools for tests and checks come on top, into the same environment.
# uv if it is there, else venv and pip. The list of modules is part of the stamp's age:
# the editable install lays out one link per file.
$(PACKAGE): pyproject.toml Makefile $(SOURCES)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@if command -v uv >/dev/null; then \
		test -x $(BIN)/python || uv venv -q --python $(PYTHON) $(VENV); \
		uv pip install -q --python $(BIN)/python -e .; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install -q --disable-pip-version-check -e .; \
	fi
	@touch $(PACKAGE)

$(STAMP): $(PACKAGE)
	@if command -v uv >/dev/null; then \
		uv pip install -q --python $(BIN)/python --group dev; \
	else \
		$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'; \
		$(BIN)/python -m pip install -q --group dev; \
	fi
	@touch $(STAMP)

sync:
	@rm -f $(PACKAGE)
	@$(MAKE) --no-print-directory $(STAMP)

demo: $(PACKAGE)
	@rm -rf demo-run
	@$(BIN)/cab run-cell --tui scripted --upstream demo --task polyglot/python-error-handling --runs demo-run
	@$(BIN)/cab report demo-run -o demo-site

# Bytecode that is kept halves the start of each process that a test runs.
unexport PYTHONDONTWRITEBYTECODE
ELSEWHERE = agents or containers or harnesses or ray or site or slurm
SLOW = slow or browser or packaging or postgres
# Options for each run of tests. .ci/run has a failed test run once more, counted and shown; here it fails.
PYTEST_OPTIONS ?=
PYTEST = $(BIN)/python -m pytest $(PYTEST_OPTIONS)

test: $(STAMP)
	$(PYTEST) -n 2 --dist worksteal -m "not ($(ELSEWHERE) or $(SLOW))"

# apt-get install chromium postgresql. A file has one server, browser or wheel for all its tests.
test-slow: $(STAMP)
	$(PYTEST) -n 2 --dist loadfile -m "($(SLOW)) and not ($(ELSEWHERE))"

# Processes that tests start are followed too, which doubles what all of it costs.
coverage: $(STAMP)
	$(PYTEST) -n 2 --dist worksteal -m "not ($(ELSEWHERE))" --cov --cov-report=term:skip-covered

# apt-get install slurm-wlm munge openssh-server; with CI=true they fail where Slurm cannot start.
test-slurm: $(STAMP)
	$(BIN)/cab adapters install aider mini-swe-agent pi
	$(PYTEST) -m slurm -n 2 --dist loadgroup tests/adapters/sweeps/executors

# What `make test-slurm` does with 6 cells of real agents, with 48.
test-fleet: $(STAMP)
	$(BIN)/cab adapters install aider mini-swe-agent pi
	TEST_FLEET=whole $(BIN)/python -m pytest -m slurm --durations=1 tests/adapters/sweeps/executors/test_slurm_agents.py

# Ray is as large as all the rest together, so only who tests it has it.
test-ray: $(STAMP)
	@$(BIN)/python -c 'import ray' 2>/dev/null || $(BIN)/python -m pip install -q --group ray 2>/dev/null \
		|| uv pip install -q --python $(BIN)/python --group ray
	$(PYTEST) -m ray tests/adapters/sweeps/executors/test_ray.py

# strict: a page that no menu names, a link or an anchor that leads nowhere ends it. CI=1: no check may be passed over.
docs: $(STAMP)
	@$(BIN)/python -c 'import mkdocs, mkdocstrings' 2>/dev/null || $(BIN)/python -m pip install -q --group docs 2>/dev/null \
		|| uv pip install -q --python $(BIN)/python --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	CI=1 $(BIN)/python -m pytest -q -m site tests/test_site.py

catalogue: $(STAMP)
	CAB_WRITE_CATALOGUE=1 $(BIN)/python -m pytest -q tests/proxy/catalogue -k "test_fault or test_stack"

schemas: $(STAMP)
	CAB_WRITE_SCHEMAS=1 $(BIN)/python -m pytest -q tests/scoring/test_schema.py -k exported

reference: $(STAMP)
	CAB_WRITE_REFERENCE=1 $(BIN)/python -m pytest -q tests/test_reference_pages.py::test_reference

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/mypy docs/examples
	$(BIN)/mypy --config-file .ci/darwin.ini
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	VENV=$(VENV) .ci/lint

release: $(STAMP)
	VENV=$(VENV) .ci/release

wheel: $(STAMP)
	$(BIN)/python -m pytest -m packaging tests/test_packaging.py tests/test_install_page.py

# nginx with Lua: apt-get install nginx-light libnginx-mod-http-lua lua-cjson
bench: $(STAMP)
	$(BIN)/python -m benchmarks.speed --rounds $(ROUNDS)

guard: $(STAMP)
	$(BIN)/python -m benchmarks.speed.guard

soak: $(STAMP)
	$(BIN)/python -m benchmarks.speed.soak --seconds $(SECONDS)

# apt-get install postgresql
test-postgres: $(STAMP)
	CI=1 $(PYTEST) -m postgres -n 2 --dist worksteal

# CI=1: these are there now, so none of them may be passed over.
test-agents: $(STAMP)
	$(BIN)/cab adapters install $(AGENTS)
	CI=1 $(PYTEST) -m agents

# Harbor needs a Python 3.12 or newer, on the PATH or of pyenv.
test-harnesses: $(STAMP)
	$(BIN)/python -m tests.harnesses.install $(VENV)/harnesses
	CI=1 $(PYTEST) -m harnesses tests/harnesses

# CI=1: the images are there now, so no test may be passed over. Of one group only one at a time: those of the group
# "outside" look whether anything is left.
test-containers: $(STAMP)
	$(BIN)/cab adapters install $(filter-out checks,$(IMAGES))
	for image in $(IMAGES); do $(BIN)/cab images build $$image --base $(BASE) || exit 1; done
	CI=1 $(PYTEST) -m containers -n 2 --dist loadgroup --durations=15 tests/adapters/containers
