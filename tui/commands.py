"""What the commands do: put a study together, listen to it, and show what comes out.

Standard output carries results, standard error progress and messages.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..estimators.backend import OUT_OF_MEMORY, share_processors
from ..estimators.files import is_standard_output, write_output
from ..estimators.presets import PRESETS, WAYS
from .output import ADDED_LABELS, Terminal
from .runs.store import RunError
from .runs.supervisor import WorkerError
from .status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UsageError
from .streams import can_draw, tell
from .tables import CsvStream, csv_text, json_text
from .text import clean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from sklearn.utils import Bunch

    from ..estimators.data.source import DataOptions, DataSource
    from ..estimators.path import PathPoint
    from .runs.spec import RunSpec
    from .runs.store import Run
    from .runs.worker import Worker


def run(options: argparse.Namespace) -> int:
    """Run a parsed command; returns the exit status."""
    return run_safely({"sweep": sweep, "fit": fit, "data": data}[options.command], options)


def run_safely(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command that computes; every error a user can cause becomes one sentence on standard error."""
    share_processors()
    try:
        with warnings_as_notes():
            return command(options)
    except WorkerError as error:
        return _fail(options, error, EXIT_FAILED)
    except (UsageError, RunError) as error:
        return _fail(options, error, EXIT_USAGE)
    except KeyboardInterrupt:
        return _fail(options, "stopped", EXIT_INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except MemoryError:
        return _fail(options, OUT_OF_MEMORY, EXIT_FAILED)
    except OSError as error:
        return _fail(options, error, EXIT_FAILED)


def sweep(options: argparse.Namespace) -> int:
    """``prunelab sweep``."""
    spec = _spec(options, several=True)
    if options.detach:
        return _detach(options, spec)
    study = _Study(options, spec)
    if options.save is not None:
        study.save_each_to(Path(options.save))
    return study.run()


def fit(options: argparse.Namespace) -> int:
    """``prunelab fit``: a sweep of two points, the dense network and the pruned one."""
    spec = _spec(options, several=False)
    study = _Study(options, spec)
    if options.save is not None:
        study.save_last_to(Path(options.save))
    return study.run(plot=False)


def data(options: argparse.Namespace) -> int:
    """``prunelab data``."""
    from ..estimators.data.datasets import describe_datasets, one_per_class
    from ..estimators.data.source import DataSource
    from .images import draw_gallery
    from .runs.browser import grey_images

    terminal = Terminal.of(sys.stdout)
    if options.dataset is None:
        with _usage_errors():
            datasets = describe_datasets(options.data_root)
        terminal.print_datasets(datasets)
        return 0
    bunch = _load(
        DataSource(options.dataset, options.data_root, options.pixels or "auto", options_of(options)), options
    )
    counts = ", ".join(f"{len(y):,} {part}" for part, y in (("training", bunch.y_train), ("test", bunch.y_test)))
    tell(
        f"{bunch.name}: {counts} samples of {bunch.X_train.shape[1]:,} features, {len(bunch.class_names)} classes",
        sys.stdout,
    )
    tell(bunch.source, sys.stdout)
    ascii_only = options.ascii or not can_draw(sys.stdout)
    names = [clean(name, ascii_only) for name in bunch.class_names]
    first = one_per_class(bunch.X_train, bunch.y_train)
    images = None if bunch.image_shape is None else grey_images(bunch.X_train[first], bunch.image_shape)
    if images is None:
        print("classes: " + ", ".join(names))
        return 0
    print()
    print(draw_gallery(list(images), names, width=terminal.width, colour=terminal.colour, ascii_only=ascii_only))
    return 0


class _Study:
    """A run in this process: checked, computed, and shown, with what is finished kept whatever happens."""

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
        """Write every point's network to a folder."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {folder} for --save: {error.strerror}") from error

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
        """Run it; returns the exit status."""
        from .progress import progress_on
        from .runs.worker import Worker

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
                except BrokenPipeError:  # whoever read the output has seen enough
                    self._is_unheard = True
                    worker.stop()

        with (
            _new_run(self._spec) as run,
            progress_on(sys.stderr if shows_progress else None, total, len(self._spec.seeds)) as progress,
        ):
            worker = Worker(
                run,
                on_event=progress.tell,
                on_point=take,
                on_seed=progress.begin_seed,
                data=self._data,
                memory=_memory(self._options),
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
            _fail(self._options, f"{message}; {done}", EXIT_FAILED)
            if run.path.is_dir() and shows_progress:
                print(f"prunelab runs resume {run.id} goes on from here", file=sys.stderr)
        self._write(plot)
        return {"finished": 0, "stopped": EXIT_INTERRUPTED}.get(state, EXIT_FAILED)

    def _shows_table(self) -> bool:
        return self._terminal.is_terminal and "-" not in (self._options.csv, self._options.json)

    def _varies(self, name: str) -> bool:
        return len(self._spec.ways.get(name, ())) > 1

    def _write(self, plot: bool) -> None:
        from ..estimators.path import COLUMNS

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
    """Data, network and training of a point: what its accuracy is the accuracy of."""
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


def _memory(options: argparse.Namespace) -> str | None:
    """The folder that caches trainings. It is no part of a run: what a run's files name is not trusted."""
    memory = getattr(options, "memory", None)
    return None if memory is None else str(Path(os.path.expanduser(memory)).absolute())


def _forget(point: PathPoint) -> None:
    """Keep nothing of a point but its row."""


def _spec(options: argparse.Namespace, several: bool) -> RunSpec:
    """What the options and the preset ask for; `several` if a sweep."""
    from .runs.spec import PARAMETERS, RunSpec, SpecError, check_name

    if options.preset is None:
        spec = RunSpec()
    elif options.preset in PRESETS:
        spec = RunSpec.from_preset(options.preset)
    else:
        raise UsageError(f"there is no preset {options.preset!r}; the presets are {', '.join(PRESETS)}")
    given = {name: getattr(options, name) for name in PARAMETERS if hasattr(options, name)}
    ways = {name: getattr(options, name) for name in WAYS if hasattr(options, name)}
    ways = {name: tuple(map(_norm, value if several else [value])) for name, value in ways.items()}
    first_seed = getattr(options, "random_state", 0)
    if several:
        changes = {
            "ways": {**spec.ways, **ways},
            "sparsities": tuple(options.sparsities or spec.sparsities),
            "seeds": tuple(range(first_seed, first_seed + options.seeds)),
        }
    else:
        ways = {**_one_way_of(spec), **ways}
        for name, values in ways.items():
            if len(values) > 1:
                raise UsageError(
                    f"the preset {options.preset} compares several ways of pruning, and fit prunes in one: "
                    f"add --{name.replace('_', '-')} {' or '.join(map(str, values))}"
                )
        changes = {"ways": ways, "sparsities": tuple(sorted({0.0, options.sparsity})), "seeds": (first_seed,)}
    spec = dataclasses.replace(
        spec,
        dataset=options.dataset or spec.dataset,
        pixels=options.pixels or (spec.pixels if options.dataset in (None, spec.dataset) else "auto"),
        options=options_of(options, spec.options.label_noise),
        data_root=options.data_root,
        parameters={**spec.parameters, **given},
        **changes,
    )
    try:
        spec = dataclasses.replace(spec, name=check_name(options.name or ""))
        spec.check()
    except SpecError as error:
        raise UsageError(str(error)) from error
    return spec


def _one_way_of(spec: RunSpec) -> dict[str, Any]:
    """The ways of pruning of a preset, but weights where it has weights and units."""
    return {name: values for name, values in spec.ways.items() if name != "granularity" or len(values) == 1}


def check_here(spec: RunSpec, options: argparse.Namespace) -> Bunch:
    """Refuse what cannot run on this machine before anything is kept; returns the data."""
    from ..estimators.backend import resolve_device

    with _usage_errors():
        resolve_device(spec.parameter("device"))
    return _load(spec.source, options)


def options_of(options: argparse.Namespace, label_noise: float = 0.0) -> DataOptions:
    """How to read the data, from the command line; `label_noise` applies where none is given."""
    from ..estimators.data.source import DataOptions

    given = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(DataOptions)}
    noise = given.pop("label_noise")
    return DataOptions(**given, label_noise=label_noise if noise is None else noise)  # type: ignore[arg-type]


def from_anywhere(spec: RunSpec) -> RunSpec:
    """The same experiment for a process that looks from another folder."""

    def absolute(path: str) -> str:
        return str(Path(os.path.expanduser(path)).absolute())

    test = spec.options.test
    return dataclasses.replace(
        spec,
        dataset=absolute(spec.dataset) if os.path.isfile(os.path.expanduser(spec.dataset)) else spec.dataset,
        data_root=None if spec.data_root is None else absolute(spec.data_root),
        options=dataclasses.replace(spec.options, test=absolute(test) if isinstance(test, str) else test),
    )


def _detach(options: argparse.Namespace, spec: RunSpec) -> int:
    """Let a process of its own compute the run, and say how to get at it."""
    from .runs import locks, supervisor
    from .runs.store import RunStore

    if not locks.HAS_WORKERS:
        raise UsageError(locks.NO_WORKERS)
    if options.save or options.csv or options.json:
        raise UsageError("--detach writes no files here: use prunelab runs export when the run is finished")
    check_here(spec, options)
    run = supervisor.start(RunStore(), from_anywhere(spec), _memory(options))
    supervisor.wait_until_ready(run)
    print(run.id)
    if sys.stdout.isatty():
        print(f"prunelab attach {run.id} shows it; prunelab runs lists all runs", file=sys.stderr)
    return 0


@contextmanager
def _new_run(spec: RunSpec) -> Iterator[Run]:
    """A run in the store; where that cannot be written, one that is forgotten afterwards."""
    from .runs.store import RunError, RunStore

    try:
        run = RunStore().create(spec)
    except RunError as error:
        tell(f"note: {error}; this run will not be listed")
        with tempfile.TemporaryDirectory(prefix="prunelab-") as folder:
            yield RunStore(folder).create(spec)
        return
    yield run


@contextmanager
def stopped_by_interrupt(worker: Worker) -> Iterator[None]:
    """Ctrl-C lets the worker finish its step; the second one ends everything at once."""

    def stop(*_: object) -> None:
        worker.stop()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _norm(value: str) -> str | int:
    """The norm as a number, where it is one."""
    return int(value) if value in ("1", "2") else value


def _load(source: DataSource, options: argparse.Namespace) -> Bunch:
    """Load the data, and print what was inferred about a file."""
    with _usage_errors():
        bunch = source.load(download=options.download, progress=tell)
    for assumption in bunch.assumptions:
        tell(f"note: assumed {assumption}")
    return bunch


def check_outputs(options: argparse.Namespace) -> None:
    """Refuse places for results that cannot be written, or not both."""
    places = [path for path in (options.csv, options.json) if path is not None]
    if len(places) > len(set(places)):
        what = "standard output" if places[0] == "-" else places[0]
        raise UsageError(f"--csv and --json cannot both go to {what}: name another file for one of them")
    for path in places:
        if path != "-":
            check_can_write(Path(path))


def check_can_write(path: Path) -> None:
    """Refuse a file that could not be written before hours go into what it is for."""
    target = Path(os.path.realpath(path))  # where a link points
    if target.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory; name a file in it")
    if not target.exists() and not target.parent.is_dir():
        raise UsageError(f"cannot write {path}: the directory {target.parent} does not exist")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: permission denied")


@contextmanager
def _usage_errors() -> Iterator[None]:
    """What the estimators refuse is the user's to mend."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Warnings as one line each on standard error, each once."""
    seen: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in seen:
            seen.add(str(message))
            tell(f"note: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _fail(options: argparse.Namespace, message: object, status: int) -> int:
    tell(f"prunelab {options.command}: {message}")
    return status
