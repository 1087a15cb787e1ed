# Two commands: `make demo` sets up and runs the main job; `make test` sets up and passes the tests.
PYTHON ?= python3.11
BIN := .venv/bin
DEMO_OUT ?= runs/demo

.PHONY: demo test lint bench clean

demo: .venv/.installed
	$(BIN)/cellflow demo --out $(DEMO_OUT)

test: .venv/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" -q
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n 2 -q -m "not slow and not needs_jit and not real_data and not reference" tests/targets tests/dynamics tests/metrics tests/data

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

.venv/.installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test,coco,rcnn]'
	$(BIN)/cellflow doctor --warm
	touch $@

bench: .venv/.installed
	$(BIN)/python benchmarks/everything.py

clean:
	rm -rf .venv build dist *.egg-info
