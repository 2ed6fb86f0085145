"""Bars of runs that other processes compute."""

from __future__ import annotations

import io

from prunelab.tui.progress import RunsFollower
from prunelab.tui.runs.parallel import Share
from prunelab.tui.runs.records import write_record
from prunelab.tui.runs.store import Run, RunStore
from rich.console import Console
from rich.progress import Progress

from .conftest import RunMaker


def write_status(run: Run, points: int, **place: object) -> None:
    """Write the progress of a run into its status."""
    status = {"state": "running", "points": points, "seed": run.spec.seeds[0]}
    write_record(run.path / "status.json", {**status, "batch": place or None})


def bars_of(bars: Progress) -> dict[str, tuple[float, float | None, str]]:
    """What every bar shows: how far, of how much, and the words beside it."""
    return {task.description: (task.completed, task.total, task.fields["detail"]) for task in bars.tasks}


def test_a_bar_for_all_points_and_one_for_each_run_that_is_computed(make_run: RunMaker):
    known = make_run("finished", "known", seeds=(0,))
    first, second = (make_run("running", f"part {seed}", seeds=(seed,), points=0) for seed in (1, 2))
    shares = [Share(RunStore(), run.spec, run) for run in (known, first, second)]
    each = known.spec.n_points
    bars = Progress(console=Console(file=io.StringIO()))

    follower = RunsFollower(bars, shares)
    assert bars_of(bars) == {"points": (each, 3 * each, "")}

    write_status(first, 0)
    place = {"phase": "training", "epoch": 3, "epochs": 5, "batch": 2, "batches": 4, "samples": 1, "seconds": 1.0}
    write_status(second, 1, **place)
    follower.update([first, second])
    assert bars_of(bars) == {
        "points": (each + 1, 3 * each, ""),
        "part 1": (0, None, "starting"),
        "part 2": (2.5, 5, "seed 2, training"),
    }

    write_status(first, 2, phase="fine-tuning", epoch=1, epochs=2, samples=1, seconds=1.0)  # the end of an epoch
    write_status(second, each)
    follower.update([first])
    assert bars_of(bars) == {
        "points": (2 * each + 2, 3 * each, ""),
        "part 1": (1, 2, "seed 1, fine-tuning"),
    }
