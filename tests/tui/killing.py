"""Kills a worker at random moments, over and over; run by `test_runs.py` as a program of its own.

The workers are forked from a process that has torch imported but has not used it: that makes a start cheap, so
that many kills take seconds.
"""

import json
import os
import random
import signal
import sys
import time

import prunelab.estimators.studies.run
import sklearn.datasets  # noqa: F401 (what the workers need)
from prunelab.tui.runs import worker
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import RunStore

NETWORKS = {
    "mlp": {"hidden_layer_sizes": (64, 32), "max_iter": 25},
    "cnn": {"channels": (4,), "kernel_size": 3, "hidden_layer_sizes": (8,), "batch_norm": True, "max_iter": 5},
    "rnn": {"cell": "gru", "hidden_size": 12, "n_layers": 2, "max_grad_norm": 1.0, "max_iter": 5},
    "resnet": {"width": 2, "max_iter": 2},
}
SPECS = {
    estimator: RunSpec(
        estimator=estimator,
        parameters={**parameters, "device": "cpu", "fine_tune_iter": 1},
        sparsities=(0.0, 0.3, 0.6, 0.9) if estimator == "mlp" else (0.0, 0.6),
        seeds=(0, 1) if estimator == "mlp" else (0,),
    )
    for estimator, parameters in NETWORKS.items()
}


def start(run) -> int:
    """Fork a worker."""
    child = os.fork()
    if child == 0:
        worker.SECONDS_BETWEEN_CHECKPOINTS = 0.02
        os._exit(0 if worker.Worker(run).work() == "finished" else 1)
    return child


def whole(run) -> tuple[str, list[bytes]]:
    """All that must not depend on kills."""
    rows = json.dumps(run.points(), sort_keys=True)
    return rows, [run.model_path(seed).read_bytes() for seed in run.models()]


def main(folder: str, kills: int, estimator: str) -> None:
    """Kill that often, then report the numbers of kills and points."""
    prunelab.estimators.studies.run.sweep  # noqa: B018 (imported, not used: no thread pool exists when we fork)
    chance = random.Random(0)
    store = RunStore(folder)
    reference = store.create(SPECS[estimator])
    began = time.monotonic()
    assert os.waitpid(start(reference), 0)[1] == 0
    length = time.monotonic() - began
    expected = whole(reference)
    done = runs = 0
    while done < kills:
        run, runs = store.create(SPECS[estimator]), runs + 1
        while run.state != "finished":
            child = start(run)
            time.sleep(chance.uniform(0, length / 2))
            acknowledged = run.points()
            os.kill(child, signal.SIGKILL)
            killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
            done += killed
            assert run.points()[: len(acknowledged)] == acknowledged, "an acknowledged point was lost"
            # A worker may be killed after its last word.
            assert run.state in (("interrupted", "finished") if killed else ("finished",)), run.status()
        rows, models = whole(run)
        assert rows == expected[0], "the resumed run has other points"
        assert models == expected[1], "the resumed run has other networks"
        assert not list(run.path.glob("checkpoint*")), "a checkpoint was left behind"
    print(f"{done} kills in {runs} runs")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
