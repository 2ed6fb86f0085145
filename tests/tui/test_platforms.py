"""Where POSIX is missing, as on Windows: all that needs no background process works, and the rest gives a reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from prunelab.estimators import PrunedMLPClassifier

SMALL = "--hidden-layer-sizes 6 --epochs 1 --device cpu --quiet"


def test_what_needs_no_worker_works_without_posix(data_folder, tmp_path):
    commands = {
        "--version": 0,
        "--help": 0,
        "sweep --help": 0,
        "data": 0,
        "data digits": 0,
        "runs": 0,
        f"fit --sparsity 0.5 {SMALL} --save {tmp_path / 'model'}": 0,
        f"sweep --sparsities 0,0.5 {SMALL} --csv {tmp_path / 'a.csv'} --memory {tmp_path / 'memory'} --name mine": 0,
        "runs show mine": 0,
        f"runs export mine -o {tmp_path / 'b.json'}": 0,
        "study norms --quick --seeds 1 --device cpu --quiet": 0,
        f"sweep --detach {SMALL}": 2,
        "study norms --quick --seeds 1 --jobs 2": 2,
        "runs resume earlier": 2,
        "runs delete mine --yes": 0,
        "": 2,
    }
    shutil.copytree(data_folder / "earlier" / "run", tmp_path / "home" / "runs" / "20260101-000000-digits-0000")
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("no_posix.py")), *commands],
        env={**os.environ, "PRUNELAB_HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = (line.partition(" ") for line in result.stderr.splitlines())
    found = {command: int(status) for status, _, command in lines if status.isdigit()}
    assert found == commands, result.stderr
    assert "Traceback" not in result.stderr
    assert "background runs need Linux, macOS or WSL" in result.stderr
    assert "the lab needs Linux, macOS or WSL" in result.stderr
    assert PrunedMLPClassifier.load(tmp_path / "model").sparsity_ == 0.5
    swept, exported = pd.read_csv(tmp_path / "a.csv"), json.loads((tmp_path / "b.json").read_text())
    assert list(swept["accuracy"]) == [row["accuracy"] for row in exported]
