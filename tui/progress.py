"""Progress bars on standard error, driven by training events."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from ..estimators.training.events import BatchEnded, EpochEnded, PointEnded
from .runs.view import epochs_done
from .text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress, TaskID

    from ..estimators.training.events import Event
    from .runs.parallel import Share
    from .runs.store import Run


class ProgressListener:
    """Updates bars, if there are any, and sums up the training."""

    def __init__(self, bars: Progress | None, n_points: int, n_seeds: int):
        self._bars = bars
        self._n_seeds = n_seeds
        self._seeds_begun = 0
        self._trained: dict[str, tuple[int, float]] = {}
        self._images = self._seconds = 0.0
        if bars is not None:
            self._training = bars.add_task("training", total=None, detail="")
            self._points = bars.add_task("points", total=n_points, detail="")

    def begin_seed(self, seed: int) -> None:
        """Begin the bar of a seed."""
        self._seeds_begun += 1
        if self._bars is not None:
            which = f" {self._seeds_begun}/{self._n_seeds}" if self._n_seeds > 1 else ""
            self._bars.reset(self._training, description=f"seed {seed}{which}", total=None, detail="")

    def handle(self, event: Event) -> None:
        """Update the bars from an event of training."""
        if isinstance(event, PointEnded):
            self._handle_point(event)
        else:
            self._handle_training(event)

    def training_summary(self) -> str:
        """One line about the training; empty if nothing was trained."""
        if not self._images:
            return ""
        rate = self._images / self._seconds if self._seconds else 0.0
        return f"trained on {self._images:,.0f} samples in {self._seconds:.1f} s ({rate:,.0f} per second)"

    def _handle_training(self, event: BatchEnded | EpochEnded) -> None:
        if isinstance(event, EpochEnded) and event.phase == "training":
            samples, seconds = self._trained.pop("epoch", (0, 0.0)) if event.epoch > 1 else (0, 0.0)
            self._images += event.samples - samples
            self._seconds += event.seconds - seconds
            self._trained["epoch"] = (event.samples, event.seconds)
        if self._bars is None:
            return
        if isinstance(event, BatchEnded):
            done = event.epoch - 1 + event.batch / event.batches
            place = f"epoch {event.epoch}/{event.epochs}, batch {event.batch}/{event.batches}"
        else:
            done, place = float(event.epoch), f"epoch {event.epoch}/{event.epochs}"
        rate = event.samples / max(event.seconds, 1e-9)
        detail = f"{place}, loss {event.loss:.3f}, {rate:,.0f}/s"
        fields: dict[str, Any] = {"total": event.epochs, "completed": done, "detail": detail}
        if event.phase != "training":
            fields["description"] = event.phase
        self._bars.update(self._training, **fields)

    def _handle_point(self, event: PointEnded) -> None:
        if self._bars is not None:
            row = event.row
            way = f"{row['granularity']} {row['sparsity']:g}"
            self._bars.update(self._points, advance=1, detail=f"{way}: {100 * row['accuracy']:.2f} %")


class RunsFollower:
    """Bars of several runs in parallel: one for all points, and one for each running worker."""

    def __init__(self, bars: Progress | None, shares: Sequence[Share]):
        self._bars, self._shares = bars, shares
        self._tasks: dict[str, TaskID] = {}
        if bars is not None:
            total = sum(share.spec.n_points for share in shares)
            self._points = bars.add_task("points", total=total, completed=self._n_points(), detail="")

    def update(self, running: Sequence[Run]) -> None:
        """Update the bars; `running` are the runs that are being computed."""
        if self._bars is None:
            return
        self._bars.update(self._points, completed=self._n_points())
        for gone in self._tasks.keys() - {run.id for run in running}:
            self._bars.remove_task(self._tasks.pop(gone))
        for run in running:
            if run.id not in self._tasks:
                self._tasks[run.id] = self._bars.add_task(clean(run.name), total=None, detail="starting")
            status = run.status()
            if place := status.get("batch"):
                fields: dict[str, Any] = {"total": place["epochs"], "completed": epochs_done(place)}
                detail = f"seed {status['seed']}, {place['phase']}"
                self._bars.update(self._tasks[run.id], **fields, detail=detail)

    def _n_points(self) -> int:
        return sum(share.n_points_done for share in self._shares)


@contextmanager
def follow_on(stream: IO[str] | None, shares: Sequence[Share]) -> Iterator[RunsFollower]:
    """Show bars of several runs on a stream while the block runs; none if the stream is None."""
    if stream is None:
        yield RunsFollower(None, shares)
        return
    with _bars_on(stream) as bars:
        yield RunsFollower(bars, shares)


@contextmanager
def progress_on(stream: IO[str] | None, n_points: int, n_seeds: int) -> Iterator[ProgressListener]:
    """Show bars on a stream while the block runs; none if the stream is None."""
    if stream is None:
        yield ProgressListener(None, n_points, n_seeds)
        return
    with _bars_on(stream) as bars:
        yield ProgressListener(bars, n_points, n_seeds)


def _bars_on(stream: IO[str]) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[detail]}", markup=False),
    ]
    return Progress(*columns, console=Console(file=stream), transient=True)
