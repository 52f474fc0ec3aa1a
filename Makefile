# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help demo test static peers unit plain compiled compiled-test test-sessions interop \
  conformance bench fuzz clean

help:                     ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv \
	    && $(PYTHON) -m venv .venv; \
	  else echo "python3-venv is missing: sudo apt-get install python3-venv"; exit 2; fi; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -U pip

.venv/.run: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing what the gateway and the simulator need ..."
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[gateway,simulate]'
	@touch $@

.venv/.dev: .venv/.run
	@echo "installing what the tests need ..."
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[gateway,simulate,conformance,peer]' --group dev
	@touch $@

demo: .venv/.run          ## a village, a county and a province with real video; ONCE=1 ends by itself
	@$(BIN)/gb28181 demo $(if $(ONCE),--once)

test: static peers unit plain conformance interop  ## everything that must be true; .ci/run runs just this

static: .venv/.dev        ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv/.dev          ## the tests that need nothing foreign, with coverage
	$(BIN)/coverage run -m pytest -m "not interop"
	$(BIN)/coverage report

plain: .venv/.dev         ## the core's tests against a plain install of the wheel, without any extra
	tests/plain_install.sh $(BIN)/python

COMPILED := .venv-compiled
$(COMPILED)/.made: $(BIN)/python hatch_build.py pyproject.toml constraints.txt \
    $(wildcard sip/*.py sip/*.c rtp/*.py rtp/*.c rtp/*/*.py gb28181/*.py gb28181/*/*.py)
	$(BIN)/python -m venv $(COMPILED)
	GB28181_COMPILE=1 $(COMPILED)/bin/python -m pip install -q --disable-pip-version-check \
	  -c constraints.txt --force-reinstall '.[fast]' pytest pytest-asyncio hypothesis
	@touch $@

compiled: $(COMPILED)/.made ## the compiled build in .venv-compiled; needs a C compiler, one to three minutes

compiled-test: compiled   ## the core's tests against the compiled build
	tests/compiled_install.sh $(COMPILED)/bin/python

conformance: .venv/.dev   ## the kit on our own platform and device
	$(BIN)/gb28181-conformance platform --self-test
	$(BIN)/gb28181-conformance device --self-test

test-sessions: .venv/.dev ## every session at every stage, long recordings, real processes: the slow form
	$(BIN)/python -m pytest -m slow tests/gb28181/recorded
	GB28181_SESSIONS=full $(BIN)/python -m pytest tests/gb28181/recorded/test_matrix.py
	GB28181_ARCHIVE_DAYS=30 $(BIN)/python -m pytest -o faulthandler_timeout=0 -k days_of_trouble tests/gb28181/archive

peers:                    ## the foreign programs that tests talk to: by apt-get when root
	tests/interop/install.sh

interop: .venv/.dev peers ## SIPp, Kamailio, pjsua2, sipsak, tshark, FFmpeg, OpenSSL
	$(BIN)/python -m pytest -m interop

bench: .venv/.dev compiled ## CPU and memory per unit of work; prints figures, asserts nothing
	$(BIN)/python tests/benchmarks/county.py
	$(BIN)/python tests/benchmarks/manscdp.py
	$(BIN)/python tests/benchmarks/sessions.py
	$(BIN)/python tests/benchmarks/media/media.py --compiled $(COMPILED)/bin/python
	$(BIN)/python tests/benchmarks/signalling.py --peers 1000,100000 --compiled $(COMPILED)/bin/python
	$(BIN)/python -m tests.benchmarks.ten_thousand

fuzz: .venv/.dev          ## feed the parsers random and mutated bytes; SECONDS_EACH=60
	tests/fuzz/run.sh

clean:                    ## remove what the targets made
	rm -rf .venv .venv-compiled build dist demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
