"""Every benchmark runs: its smoke test ends well and prints what it compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in ("common", "epochs"))

#: Those that take MNIST even in a smoke test, or packages that only developers have.
NEEDS = {"original_experiment": "skorch"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs(name, request, tmp_path):
    environment = {**os.environ, "PRUNELAB_HOME": str(tmp_path)}
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
        environment["PRUNELAB_DATA"] = str(request.getfixturevalue("data_root"))
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=550)
    assert done.returncode == 0, done.stderr
    assert "smoke test: no goal" in done.stdout or "nothing to compare" in done.stdout
