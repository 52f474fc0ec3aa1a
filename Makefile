# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help demo test static peers unit plain test-sessions interop conformance bench fuzz clean

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

conformance: .venv/.dev   ## the kit on our own platform and device
	$(BIN)/gb28181-conformance platform --self-test
	$(BIN)/gb28181-conformance device --self-test

test-sessions: .venv/.dev ## every session at every stage, long recordings, real processes: the slow form
	$(BIN)/python -m pytest -m slow tests/gb28181/recorded

peers:                    ## the foreign programs that tests talk to: by apt-get when root
	tests/interop/install.sh

interop: .venv/.dev peers ## SIPp, Kamailio, pjsua2, sipsak, tshark, FFmpeg, OpenSSL
	$(BIN)/python -m pytest -m interop

bench: .venv/.dev         ## CPU and memory per unit of work; prints figures, asserts nothing
	$(BIN)/python tests/benchmarks/county.py
	$(BIN)/python tests/benchmarks/manscdp.py
	$(BIN)/python tests/benchmarks/media/media.py
	$(BIN)/python tests/benchmarks/signalling.py --peers 1000,100000
	$(BIN)/python -m tests.benchmarks.ten_thousand

fuzz: .venv/.dev          ## feed the parsers random and mutated bytes; SECONDS_EACH=60
	tests/fuzz/run.sh

clean:                    ## remove what the targets made
	rm -rf .venv build dist demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
