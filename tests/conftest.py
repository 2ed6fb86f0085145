"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# Before a test imports torch, and inherited by the processes that tests start: spinning threads make small
# trainings many times slower where anything else runs beside the tests.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Tests run in several processes, which share the processors (-n 0 runs them in one).
_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _processes)))

# Runs of the tests are not the user's. (Tests that need a folder of their own set it themselves.)
_home = tempfile.TemporaryDirectory(prefix="prunelab-tests-")
os.environ["PRUNELAB_HOME"] = _home.name

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Files that tests read, such as those written by earlier versions; read-only to the tests."""
    return REPOSITORY / "tests" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real `MNIST/raw` and `FashionMNIST/raw`; read-only to the tests."""
    from_environment = os.environ.get("PRUNELAB_TEST_DATA") or os.environ.get("PRUNELAB_DATA")
    root = Path(from_environment or REPOSITORY.parent / "shared" / "data").expanduser()
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST/raw under {root}: set PRUNELAB_TEST_DATA to a folder that holds it")
    return root
