# make check runs what continuous integration (.ci/run) runs, in the environment at hand instead of a new one.
.PHONY: check test slow lint format types bench

check: test slow lint types

test:
	python -m pytest

slow:
	python -m pytest -m slow

lint:
	ruff check .
	ruff format --check .

format:
	ruff check --fix .
	ruff format .

types:
	basedpyright

# Prints ratios against what one would use instead; takes some minutes. BENCH=startup runs one of them.
BENCH ?= startup sparsity_path explore app
bench:
	@for name in $(BENCH); do echo "== $$name"; python benchmarks/$$name.py || exit 1; done
