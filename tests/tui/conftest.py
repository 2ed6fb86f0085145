"""Fixtures of the terminal side's tests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prunelab.estimators.parameters import DEFAULTS
from prunelab.estimators.presets import WAYS
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunStore, read_json, write_json
from prunelab.tui.runs.view import RunView
from prunelab.tui.runs.worker import EventLog

RunMaker = Callable[..., Run]


def made_up_row(spec: RunSpec, way: dict[str, Any], sparsity: float, seed: int, better: float = 0.0) -> dict[str, Any]:
    """A point on a curve with a knee; a little different for every seed."""
    ways = {name: way.get(name, DEFAULTS[name]) for name in WAYS}
    knee = 0.85 if ways["granularity"] == "weight" else 0.7
    accuracy = 0.1 + 0.85 / (1 + math.exp(25 * (sparsity - knee))) + 0.001 * seed + better
    kept = max(1 - sparsity, 0.01)
    return {
        "seed": seed,
        **ways,
        "sparsity": sparsity,
        "achieved_sparsity": sparsity,
        "accuracy": accuracy,
        "loss": 2 * (1 - accuracy),
        "nonzero": int(10_000 * kept),
        "compression": 1 / kept,
        "macs": int(10_000 * kept),
        "speedup": 1 / kept,
    }


@pytest.fixture
def make_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunMaker:
    """Writes runs as a worker would have left them, into a data home of the test's own.

    The function takes the fields of a `RunSpec`, and: the state; the name; the reason; how many points are done
    (all by default); how many seconds ago it was made; by how much it is better than other runs.
    """
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path / "home"))
    store = RunStore()

    def make(
        state: str = "finished",
        name: str = "",
        *,
        reason: str = "",
        points: int | None = None,
        age: float = 0.0,
        better: float = 0.0,
        **fields: Any,
    ) -> Run:
        spec = RunSpec(**{"sparsities": (0.0, 0.5, 0.9), **fields})
        run = store.create(spec)
        then = time.time() - age
        write_json(run.path / "run.json", {**(read_json(run.path / "run.json") or {}), "created": then})
        view, log = RunView(spec), EventLog(run)

        def tell(kind: str, **event: Any) -> None:
            event = {"type": kind, "t": then, **event}
            view.apply(event)
            log.append(event)

        tell("started", device="cpu", precision="float32", pid=1, host="here", resumed=False)
        rows = [
            made_up_row(spec, way, sparsity, seed, better)
            for seed in spec.seeds
            for way in spec.variants
            for sparsity in spec.sparsities
        ]
        for i, row in enumerate(rows[:points]):
            tell("point", row=row, point=i + 1, points=len(rows), layers=[], units=[])
        if state in ("finished", "stopped", "failed"):
            tell(state, **({"reason": reason} if state == "failed" else {}))
        log.close()
        told = "running" if state == "interrupted" else state
        write_json(run.path / "status.json", {"state": told, "reason": reason, **view.figures()})
        if name:
            run.rename(name)
        return run

    return make
