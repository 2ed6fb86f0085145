"""Fixtures of the terminal side's tests."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prunelab.estimators.parameters import DEFAULTS, WAYS
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs.events import EventLog
from prunelab.tui.runs.records import read_record, write_record
from prunelab.tui.runs.schemas import Record
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunStore
from prunelab.tui.runs.view import RunView
from textual.pilot import Pilot

RunMaker = Callable[..., Run]

SECONDS_TO_DRAW = SECONDS_TO_RESIZE = 20


@pytest.fixture(autouse=True)
def pilot_waits_for_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pilot's `press` and `resize_terminal` return when their effect is there, and `click` hit what is drawn.

    Textual's own wait until the process uses little processor time, for at most a second. On a busy machine a process
    that waits for a processor uses little, too, and a second may not be enough. `click` looks up where a widget is
    before a change of the layout that is due, and clicks there after it.
    """
    click, press, resize = Pilot.click, Pilot.press, Pilot.resize_terminal

    async def click_what_is_drawn(pilot: Pilot[Any], *args: Any, **options: Any) -> bool:
        drawn = asyncio.Event()
        pilot.app.screen.call_after_refresh(drawn.set)
        await asyncio.wait_for(drawn.wait(), SECONDS_TO_DRAW)
        return await click(pilot, *args, **options)

    async def press_and_wait(pilot: Pilot[Any], *keys: str) -> None:
        await press(pilot, *keys)
        app = pilot.app
        if isinstance(app, PrunelabApp):
            effects = asyncio.ensure_future(app._input.join())
            while not effects.done() and app.is_running and app._exception is None:
                await asyncio.wait([effects], timeout=0.02)
            effects.cancel()
            await pilot._wait_for_screen()

    async def resize_and_wait(pilot: Pilot[Any], width: int, height: int) -> None:
        await resize(pilot, width, height)
        deadline = time.monotonic() + SECONDS_TO_RESIZE
        while tuple(pilot.app.screen._compositor.size) != (width, height) and time.monotonic() < deadline:
            await pilot.pause(0.02)
        await pilot._wait_for_screen()

    monkeypatch.setattr(Pilot, "click", click_what_is_drawn)
    monkeypatch.setattr(Pilot, "press", press_and_wait)
    monkeypatch.setattr(Pilot, "resize_terminal", resize_and_wait)


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    """The runs of a data home of the test's own."""
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path / "home"))
    return RunStore()


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
        "effective_sparsity": sparsity,
        "accuracy": accuracy,
        "loss": 2 * (1 - accuracy),
        "nonzero": int(10_000 * kept),
        "compression": 1 / kept,
        "macs": int(10_000 * kept),
        "speedup": 1 / kept,
        "dead_units": 0,
        "disconnected_units": 0,
    }


#: Of the networks that never were.
SIZES = [64, 100, 50, 10]


def made_up_layers(sparsity: float) -> tuple[list[list[int]], list[list[int]]]:
    """What is left of the weights and of the units of every layer, ``[kept, total]`` each; all of the last one."""
    hidden = [round(n_in * n_out * (1 - sparsity)) for n_in, n_out in itertools.pairwise(SIZES[:-1])]
    kept = [*hidden, SIZES[-2] * SIZES[-1]]
    totals = [n_in * n_out for n_in, n_out in itertools.pairwise(SIZES)]
    return [list(pair) for pair in zip(kept, totals, strict=True)], [[n, n] for n in SIZES[1:]]


def append_training(append: Callable[..., None], spec: RunSpec) -> None:
    """Data, and a training of five epochs."""
    seed, epochs = spec.seeds[0], 5
    append("data", source="digits made up", n_train=1437, n_test=360, n_features=64, classes=list("0123456789"))
    append("seed", seed=seed)
    for epoch in range(1, epochs + 1):
        figures = {"phase": "training", "epoch": epoch, "epochs": epochs, "samples": 1437 * epoch, "seconds": epoch / 4}
        append("epoch", **figures, loss=1.5 / epoch, validation_score=None, monitored=0.96 - 0.5 / epoch**2)
    append("dense", seed=seed, device="cpu", precision="float32", sizes=SIZES, epochs=epochs)


@pytest.fixture
def make_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunMaker:
    """Writes runs as a worker would have left them, into a data home of the test's own.

    The function takes the fields of a `RunSpec`, and: the state; the name; the reason; how many points are done
    (all by default); how many seconds ago it was made; by how much it is better than other runs; and whether its
    events include data, training and layers, and the network of its first seed seems to be there.
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
        trained: bool = False,
        **fields: Any,
    ) -> Run:
        spec = RunSpec(**{"sparsities": (0.0, 0.5, 0.9), **fields})
        run = store.create(spec)
        then = time.time() - age
        write_record(run.path / "run.json", {**read_record(run.path / "run.json", Record), "created": then})
        view, log = RunView(spec), EventLog(run.events_path)

        def append(kind: str, **event: Any) -> None:
            event = {"type": kind, "t": then, **event}
            view.apply(event)
            log.append(event)

        append("started", device="cpu", precision="float32", pid=1, host="here", resumed=False)
        if trained:
            append_training(append, spec)
            run.model_path(spec.seeds[0]).touch()
        rows = [
            made_up_row(spec, way, sparsity, seed, better)
            for seed in spec.seeds
            for way in spec.variants
            for sparsity in spec.sparsities
        ]
        for i, row in enumerate(rows[:points]):
            layers, units = made_up_layers(row["sparsity"]) if trained else ([], [])
            append("point", row=row, point=i + 1, points=len(rows), layers=layers, units=units)
        if state in ("finished", "stopped", "failed"):
            append(state, **({"reason": reason} if state == "failed" else {}))
        log.close()
        state_written = "running" if state == "interrupted" else state
        write_record(run.path / "status.json", {"state": state_written, "reason": reason, **view.figures()})
        if name:
            run.rename(name)
        return run

    return make
