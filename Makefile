# make demo    a fresh machine to a tuned model, with a comparison on held-out rows
# make check   format, lint, types, import contract, and the tests that start no process: under two minutes on two cores
# make test    all of that, the checks of the Studio, and all tests
# make clients all official Google clients in environments of their own against a server
# make scale   the API and all official clients on PostgreSQL, S3 and workers elsewhere; the figures of docs/scale.md
# make studio  the Studio again, after a change in studio/
# make wheel   what is published: wheels for Linux on x86-64 and aarch64, a pure one for other systems, the source
# make step    the compiled decoding step again, after a change in src/tunery/engine/answers/native
# make site    the docs as a site with search and llms.txt, in build/site; a dead link is an error
# make audit   dangerous code and vulnerable packages: bandit, rules of our own for semgrep, pip-audit, npm audit
# make quality the visible quality suite (half a day on two cores; goes on where it stopped)
# make bench   speed and memory beside TRL + PEFT, llama.cpp and transformers + PEFT, in one run each

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
STEP := src/tunery/engine/answers/native
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# A test that hangs fails with the stacks of all threads; one that hangs in compiled code ends its worker.
TEST_LIMIT := --timeout 600 -o faulthandler_timeout=660 -o faulthandler_exit_on_timeout=true
# pip's bars on a terminal, a line for each package in a file, errors only in CI
PIP_OUTPUT := $(if $(CI),--quiet,$(if $(MAKE_TERMOUT),,--progress-bar=off))
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt $(PIP_OUTPUT)

# In a clean clone each of hundreds of processes would compile all of tunery, and each worker all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check lint platforms test audit site clients chaos scale studio step wheel wheel-test image-test arm studio-test browser pictures base rows quality bench peers format clean

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py

check: $(VENV)/.developed
	@start=$$(date +%s) && $(MAKE) --no-print-directory lint \
	&& $(PYTEST) -q -n 2 --no-processes -m 'not full and not slow' \
	&& echo "make check took $$(($$(date +%s) - start)) s"

lint: $(VENV)/.developed
	$(BIN)/ruff format --check src tests benchmarks examples tools
	$(BIN)/ruff check src tests benchmarks examples tools
	$(BIN)/clang-format --dry-run --Werror $(STEP)/*.c $(STEP)/*.h
	$(BIN)/mypy
	$(BIN)/lint-imports

# types as they are on Windows and macOS, which lack some names
platforms: platform-win32 platform-darwin

.PHONY: platform-win32 platform-darwin
platform-win32 platform-darwin: platform-%: $(VENV)/.developed
	$(BIN)/mypy --no-warn-unreachable --platform $* --cache-dir .mypy_cache/$*

# what comes before the tests uses one core each
test: $(VENV)/.developed
	$(MAKE) --no-print-directory -j 3 base rows lint platforms studio-test
	$(PYTEST) -q -n 3 --dist loadfile --no-loadscope-reorder --durations 30 $(TEST_LIMIT)

# the tests marked "base" need the default base; without it they are skipped and say so, in CI they fail
base: $(VENV)/.installed
	$(BIN)/tunery bases get smollm2-135m-instruct || echo "The default base could not be fetched; tests that need it will be skipped."

# rows of the quality benchmark that may not be passed on; tests that read them are skipped without
rows: $(VENV)/.developed
	$(BIN)/python -m benchmarks.quality_sources || echo "The rows could not be fetched; tests that need them will be skipped."

# the Studio's bundle, with the Node that comes as a Python package
studio: $(VENV)/.developed
	$(BIN)/python hatch_build.py studio

# the compiled decoding step, after a change of its source
step: $(VENV)/.developed
	$(BIN)/python hatch_build.py step

# compilers for both processors come from PyPI; TUNERY_RELEASE makes a part that cannot be built an error
wheel: studio
	rm -rf dist
	for kind in x86_64 aarch64 pure; do \
	  TUNERY_RELEASE=1 TUNERY_WHEEL=$$kind $(BIN)/python -m pip wheel --disable-pip-version-check --no-deps -w dist . || exit 1; \
	done
	$(BIN)/python -m hatchling build -t sdist

# the wheel in a new environment, with what it needs from the package index: minutes
wheel-test: wheel
	TUNERY_WHEELS=dist $(BIN)/python -m pytest -q -m full tests/acceptance/test_installation.py

# the image's steps in a fresh root file system, then tuning in it: as root, with debootstrap; minutes
image-test: wheel
	TUNERY_WHEELS=dist $(BIN)/python -m pytest -q -m full tests/acceptance/test_container.py

# the step's tests with the library for aarch64: as root, with debootstrap and qemu-user-static; minutes
arm: studio
	rm -rf build/arm/wheel
	TUNERY_RELEASE=1 TUNERY_WHEEL=aarch64 $(BIN)/python -m pip wheel --disable-pip-version-check --no-deps -w build/arm/wheel .
	$(BIN)/python -m tools.arm build/arm/wheel/*.whl

studio-test: $(VENV)/.developed
	$(BIN)/python tools/studio.py

# the Studio in a real browser against a real server; part of `make test`. Needs Chromium: apt-get install chromium
browser: studio-test
	$(PYTEST) -q tests/studio

# the pictures of docs/studio/ again, with the default base
pictures: $(VENV)/.developed base
	$(BIN)/python -m tests.studio.pictures

# the official clients, unchanged, against a server; makes an environment for each of them (minutes the first time)
# and writes docs/compatibility.md from what came out
clients: $(VENV)/.developed
	$(BIN)/python -m pytest -q --override-ini addopts="-ra --import-mode=importlib --strict-markers" tests/acceptance/clients tests/acceptance/test_readme.py
	$(BIN)/python -m tests.acceptance.clients.matrix

# servers and children that are killed, frozen and asked for the impossible; commands through a running server
chaos: $(VENV)/.developed
	$(BIN)/python -m pytest -q --override-ini addopts="-ra --import-mode=importlib --strict-markers" tests/chaos tests/cli/test_served.py tests/cli/test_served_exports.py

# the tests of the API and of all official clients with a team behind the server (tests/backend.py): PostgreSQL and S3
# in place of SQLite and a folder, a worker or a Ray cluster in place of a child; and the figures of docs/scale.md
scale: $(VENV)/.developed
	TUNERY_TEST_BACKEND=worker $(PYTEST) -q tests/server tests/service/accounts
	TUNERY_TEST_BACKEND=ray $(PYTEST) -q --override-ini addopts="-ra --import-mode=importlib --strict-markers" tests/acceptance/clients
	$(PYTEST) -q -m full tests/server/test_ray_executor.py tests/test_deploy_ray.py
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m tests.chaos.servers
	$(BIN)/python -m tests.chaos.versions
	$(BIN)/python -m tests.chaos.moves
	@if [ $$(id -u) = 0 ]; then $(BIN)/python -m tests.chaos.ray_nodes; \
	else echo "Only root may make networks for two Ray nodes: sudo $(BIN)/python -m tests.chaos.ray_nodes"; fi

quality: $(VENV)/.developed base
	$(BIN)/python -m benchmarks.quality

bench: $(VENV)/.installed base peers
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.conditions
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.roofline

peers: $(PEERS)/.installed

# Compiled for AMX llama.cpp dies of SIGILL on 4- and 8-bit weights (its pull request 26954), so without.
NO_AMX = $(if $(shell grep -m1 -o amx_tile /proc/cpuinfo 2>/dev/null),-mno-amx-tile -mno-amx-int8 -mno-amx-bf16)

$(PEERS)/.installed: benchmarks/peers.txt constraints.txt
	$(PYTHON) -m venv $(PEERS)
	CMAKE_ARGS="-DCMAKE_C_FLAGS='$(NO_AMX)' -DCMAKE_CXX_FLAGS='$(NO_AMX)'" $(PEERS)/bin/python -m pip install --disable-pip-version-check -c constraints.txt $(PIP_OUTPUT) -r benchmarks/peers.txt
	touch $@

# without network the packages cannot be looked up: that is reported, and fails
audit: $(VENV)/.developed .venv-audit/.installed
	$(BIN)/python -m tools.audit .venv-audit/bin

.venv-audit/.installed: tools/audit.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --disable-pip-version-check $(PIP_OUTPUT) -r tools/audit.txt
	touch $@

# pages keep their places beside each other, so that links between them work in the repository and in the site
site: .venv-site/.installed
	rm -rf build/pages build/site && mkdir -p build/pages
	cp --parents -t build/pages $$(git ls-files '*.md' docs examples benchmarks/results LICENSE ':!tests')
	.venv-site/bin/zensical build --strict

.venv-site/.installed: tools/site.txt
	$(PYTHON) -m venv .venv-site
	.venv-site/bin/python -m pip install --disable-pip-version-check $(PIP_OUTPUT) -r tools/site.txt
	touch $@

format: $(VENV)/.developed
	$(BIN)/ruff format src tests benchmarks examples tools
	$(BIN)/ruff check --fix src tests benchmarks examples tools
	$(BIN)/clang-format -i $(STEP)/*.c $(STEP)/*.h

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("tunery needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Installing tunery with PyTorch in $(VENV): about 0.3 GB to download, 1.4 GB on disk."
	@echo "PyPI's torch for Linux x86-64 adds gigabytes of CUDA; README.md says how to get its CPU build."
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.developed: $(VENV)/.installed
	@echo "Installing the tools for development in $(VENV): about 0.8 GB more on disk."
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
