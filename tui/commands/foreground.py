"""A run that a command computes in its own process."""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.files import is_standard_output, write_output
from ..exit_status import EXIT_FAILED, EXIT_INTERRUPTED, UsageError
from ..output import ADDED_LABELS, Terminal
from ..streams import print_message
from ..tables import CsvStream, csv_text, json_text
from .common import check_can_write, check_outputs, fail
from .request import check_here, memory_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ...estimators.path import PathPoint
    from ..runs.spec import RunSpec
    from ..runs.store import Run
    from ..runs.worker import Worker


class ForegroundRun:
    """A run in this process: validate, compute and show it, and keep finished points whatever happens."""

    def __init__(self, options: argparse.Namespace, spec: RunSpec):
        self._options, self._spec = options, spec
        self._terminal = Terminal.of(sys.stdout)
        self._rows: list[dict[str, Any]] = []
        self._heading: list[str] = []
        self._keep = _forget
        self._is_unheard = self._saves_to_stdout = False
        check_outputs(options)
        self._data = check_here(spec, options)

    def save_each_to(self, folder: Path) -> None:
        """Write the network of every point to a folder."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot create the folder {folder} for --save: {error.strerror}") from error

        def keep(point: PathPoint) -> None:
            row = point.row
            words = [row["criterion"], row["granularity"], row["scope"]]
            extra = [f"{name}-{getattr(point.estimator, name)}" for name in ADDED_LABELS if self._varies(name)]
            name = "-".join([*words, *extra, f"{row['sparsity']:g}", f"seed{row['seed']}"])
            point.to_classifier().save(folder / f"{name}.safetensors")

        self._keep = keep

    def save_last_to(self, path: Path) -> None:
        """Write the network of the last point to a file."""
        self._saves_to_stdout = is_standard_output(path)
        if self._saves_to_stdout:
            if "-" in (self._options.csv, self._options.json):
                raise UsageError("--save and the table cannot both go to standard output: name a file for one of them")
            if self._terminal.is_terminal:
                raise UsageError("--save does not write a model to a terminal: name a file")
        else:
            check_can_write(path)

        def keep(point: PathPoint) -> None:
            if point.row["sparsity"] == self._spec.sparsities[-1]:
                point.to_classifier().save(path)

        self._keep = keep

    def run(self, plot: bool = True) -> int:
        """Compute the run; returns the exit status."""
        from ..progress import progress_on
        from ..runs.worker import Worker

        total = self._spec.n_points
        shows_progress = self._terminal.is_terminal and not self._options.quiet
        is_silent = self._shows_table() or self._options.json == "-" or self._saves_to_stdout
        stream = None if is_silent else CsvStream(sys.stdout)

        def take(point: PathPoint) -> None:
            self._rows.append(point.row)
            self._heading = [self._data.source, _recipe_in_words(point)]
            self._keep(point)
            if stream is not None:
                try:
                    stream.write(point.row)
                except BrokenPipeError:  # the reader closed the pipe
                    self._is_unheard = True
                    worker.stop()

        with (
            _new_run(self._spec) as run,
            progress_on(sys.stderr if shows_progress else None, total, len(self._spec.seeds)) as progress,
        ):
            worker = Worker(
                run,
                on_event=progress.handle,
                on_point=take,
                on_seed=progress.begin_seed,
                data=self._data,
                memory=memory_of(self._options),
            )
            try:
                with stopped_by_interrupt(worker):
                    state = worker.work()
            finally:
                worker.close()
            training = progress.training_summary()
        if self._is_unheard:
            raise BrokenPipeError
        if state == "finished":
            if training and shows_progress:
                print(training, file=sys.stderr)
        else:
            written = " and kept" if self._rows else ""
            message = "stopped" if state == "stopped" else worker.reason
            done = f"{len(self._rows)} of {total} points are finished{written}"
            fail(self._options, f"{message}; {done}", EXIT_FAILED)
            if run.path.is_dir() and shows_progress:
                print(f"continue with: prunelab runs resume {run.id}", file=sys.stderr)
        self._write(plot)
        return {"finished": 0, "stopped": EXIT_INTERRUPTED}.get(state, EXIT_FAILED)

    def _shows_table(self) -> bool:
        return self._terminal.is_terminal and "-" not in (self._options.csv, self._options.json)

    def _varies(self, name: str) -> bool:
        return len(self._spec.ways.get(name, ())) > 1

    def _write(self, plot: bool) -> None:
        from ...estimators.path import COLUMNS

        if self._options.csv not in (None, "-"):
            extra = [name for name in (self._rows[0] if self._rows else ()) if name not in COLUMNS]
            write_output(self._options.csv, csv_text(self._rows, [*COLUMNS, *extra]))
        if self._options.json == "-":
            sys.stdout.write(json_text(self._rows))
        elif self._options.json is not None:
            write_output(self._options.json, json_text(self._rows))
        if self._shows_table() and self._rows:
            self._terminal.print_paragraphs(self._heading)
            self._terminal.print_results(self._rows, plot=plot, ascii_only=self._options.ascii)


def _recipe_in_words(point: PathPoint) -> str:
    """Describe the data, network and training of a point."""
    task, recipe = point.dense.task, point.dense.task.recipe
    network = task.network
    biases = "with" if any(record.kind == "bias" for record in network.records.values()) else "without"
    trained = len(point.dense.training.loss_curve)
    stopped = f" of {recipe.max_iter}" if trained < recipe.max_iter else ""
    epochs = f"{trained}{stopped} epoch{'s' if recipe.max_iter > 1 else ''}"
    parameters = sum(network.records[name].size for name in network.trained)
    return (
        f"{network.summary} {biases} biases ({parameters:,} parameters); "
        f"{recipe.solver} {recipe.learning_rate_init:g}, batch {recipe.batch_size}, {epochs}, "
        f"{task.precision} on {task.device}"
    )


def _forget(point: PathPoint) -> None:
    """Keep only the row of a point."""


@contextmanager
def _new_run(spec: RunSpec) -> Iterator[Run]:
    """A new run in the store; if the store cannot be written, a temporary one."""
    from ..runs.store import RunError, RunStore

    try:
        run = RunStore().create(spec)
    except RunError as error:
        print_message(f"note: {error}; this run will not be listed")
        with tempfile.TemporaryDirectory(prefix="prunelab-") as folder:
            yield RunStore(folder).create(spec)
        return
    yield run


@contextmanager
def stopped_by_interrupt(worker: Worker) -> Iterator[None]:
    """Let the worker finish its step after Ctrl-C; a second Ctrl-C ends everything immediately."""

    def stop(*_: object) -> None:
        worker.stop()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
