"""What the commands do: put a study together, listen to it, and show what comes out.

Standard output carries results, standard error progress and messages.
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..estimators.backend import share_processors
from .output import CsvStream, Terminal, json_text, write_file
from .status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from sklearn.utils import Bunch

    from ..estimators import PrunedMLPClassifier
    from ..estimators.path import PathPoint
    from ..estimators.studies import Preset

#: Options that name a way of pruning; in a sweep each may have several values.
WAYS = ("criterion", "granularity", "scope", "norm", "order")


def run(options: argparse.Namespace) -> int:
    """Run a parsed command; every error a user can cause becomes one sentence on standard error."""
    share_processors()
    try:
        with _warnings_as_notes():
            return {"sweep": sweep, "fit": fit, "data": data}[options.command](options)
    except UsageError as error:
        return _fail(options, error, EXIT_USAGE)
    except KeyboardInterrupt:
        return _fail(options, "stopped", EXIT_INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except MemoryError:
        return _fail(options, "out of memory: use a smaller network, fewer samples or a smaller batch", EXIT_FAILED)
    except OSError as error:
        return _fail(options, error, EXIT_FAILED)


def sweep(options: argparse.Namespace) -> int:
    """``prunelab sweep``."""
    preset = _preset(options)
    values = {name: getattr(options, name) for name in WAYS if hasattr(options, name)}
    ways = {"granularity": ["weight", "unit"], **{k: v for k, v in preset.parameters.items() if k in WAYS}, **values}
    columns = {name: value if isinstance(value, list) else [value] for name, value in ways.items()}
    variants = [_variant(dict(zip(columns, row, strict=True))) for row in itertools.product(*columns.values())]
    parameters = _parameters(options, preset, without=WAYS)
    first_seed = parameters.pop("random_state", 0)
    sparsities = preset.sparsities if options.sparsities is None else options.sparsities
    seeds = range(first_seed, first_seed + options.seeds)
    study = _Study(options, preset, parameters, variants, list(sparsities), list(seeds))
    if options.save is not None:
        study.save_each_to(Path(options.save))
    return study.run()


def fit(options: argparse.Namespace) -> int:
    """``prunelab fit``: a sweep of two points, the dense network and the pruned one."""
    preset = _preset(options)
    parameters = _parameters(options, preset)
    seed = parameters.pop("random_state", 0)
    sparsities = sorted({0.0, options.sparsity})
    study = _Study(options, preset, parameters, [{}], sparsities, [seed])
    if options.save is not None:
        study.save_last_to(Path(options.save))
    return study.run(plot=False)


def data(options: argparse.Namespace) -> int:
    """``prunelab data``."""
    from ..estimators.datasets import describe_datasets, one_per_class
    from .images import draw_gallery

    terminal = Terminal.of(sys.stdout)
    if options.dataset is None:
        terminal.print_datasets(describe_datasets(options.data_root))
        return 0
    bunch = _load(options.dataset, options)
    counts = ", ".join(f"{len(y):,} {part}" for part, y in (("training", bunch.y_train), ("test", bunch.y_test)))
    print(f"{bunch.name}: {counts} samples of {bunch.X_train.shape[1]:,} features, {len(bunch.class_names)} classes")
    print(bunch.source)
    if bunch.image_shape is None:
        print("classes: " + ", ".join(bunch.class_names))
        return 0
    first = one_per_class(bunch.X_train, bunch.y_train)
    images = [bunch.X_train[i].reshape(bunch.image_shape) for i in first]
    print()
    print(
        draw_gallery(images, bunch.class_names, width=terminal.width, colour=terminal.colour, ascii_only=options.ascii)
    )
    return 0


class _Study:
    """A sweep from the command line: checked, run, and shown, with what is finished kept whatever happens."""

    def __init__(
        self,
        options: argparse.Namespace,
        preset: Preset,
        parameters: Mapping[str, Any],
        variants: Sequence[Mapping[str, Any]],
        sparsities: list[float],
        seeds: list[int],
    ):
        from ..estimators import PrunedMLPClassifier
        from ..estimators.path import check_sparsities
        from ..estimators.validation import check_parameters

        self._options = options
        self._terminal = Terminal.of(sys.stdout)
        self._variants, self._seeds = variants, seeds
        self._rows: list[dict[str, Any]] = []
        self._heading: list[str] = []
        self._keep = _forget
        with _usage_errors():
            self._sparsities = check_sparsities(sparsities)
            self._estimator: PrunedMLPClassifier = PrunedMLPClassifier(**parameters)
            for variant in variants:
                check_parameters(PrunedMLPClassifier(**{**parameters, **variant}))
        for path in (options.csv, options.json):
            if path not in (None, "-"):
                _check_can_write(Path(path))
        self._data: Bunch = _load(options.dataset or preset.dataset, options)

    def save_each_to(self, folder: Path) -> None:
        """Write every point's network to a folder."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {folder} for --save: {error.strerror}") from error

        def keep(point: PathPoint) -> None:
            row = point.row
            words = [row["criterion"], row["granularity"], row["scope"]]
            extra = [f"{name}-{getattr(point.estimator, name)}" for name in ("norm", "order") if self._varies(name)]
            name = "-".join([*words, *extra, f"{row['sparsity']:g}", f"seed{row['seed']}"])
            point.to_classifier().save(folder / f"{name}.safetensors")

        self._keep = keep

    def save_last_to(self, path: Path) -> None:
        """Write the network of the last point to a file."""
        _check_can_write(path)

        def keep(point: PathPoint) -> None:
            if point.row["sparsity"] == self._sparsities[-1]:
                point.to_classifier().save(path)

        self._keep = keep

    def run(self, plot: bool = True) -> int:
        """Run it; returns the exit status."""
        from ..estimators import TrainingDiverged
        from ..estimators.studies import sweep as run_sweep
        from .progress import progress_on

        total = len(self._seeds) * len(self._variants) * len(self._sparsities)
        shows_progress = self._terminal.is_terminal and not self._options.quiet
        stream = None if self._shows_table() else CsvStream(sys.stdout)
        status, message = 0, None
        with progress_on(sys.stderr if shows_progress else None, total, len(self._seeds)) as progress:
            try:
                for point in run_sweep(
                    self._estimator,
                    self._data,
                    sparsities=self._sparsities,
                    variants=self._variants,
                    seeds=self._seeds,
                    on_seed=progress.begin_seed,
                    on_event=progress.tell,
                ):
                    self._rows.append({**self._labels(point), **point.row})
                    self._heading = [self._data.source, _recipe_in_words(point)]
                    self._keep(point)
                    if stream is not None and self._options.json != "-":
                        stream.write(point.row)
            except KeyboardInterrupt:
                status, message = EXIT_INTERRUPTED, "stopped"
            except TrainingDiverged as error:
                status, message = EXIT_FAILED, str(error)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                status = EXIT_FAILED
                message = "out of memory: use a smaller network, fewer samples, or another --device"
            training = progress.training_summary()
        if message is not None:
            written = " and kept" if self._rows else ""
            message = f"{message}; {len(self._rows)} of {total} points are finished{written}"
            _fail(self._options, message, status)
        elif training and shows_progress:
            print(training, file=sys.stderr)
        self._write(plot)
        return status

    def _shows_table(self) -> bool:
        return self._terminal.is_terminal and "-" not in (self._options.csv, self._options.json)

    def _varies(self, name: str) -> bool:
        return len({str(variant.get(name)) for variant in self._variants}) > 1

    def _labels(self, point: PathPoint) -> dict[str, Any]:
        """Columns for the table and the plot only: ways that tell the curves apart but are no column."""
        return {name: str(getattr(point.estimator, name)) for name in ("norm", "order") if self._varies(name)}

    def _write(self, plot: bool) -> None:
        from ..estimators.path import to_frame

        rows = [{k: v for k, v in row.items() if k not in ("norm", "order")} for row in self._rows]
        if self._options.csv not in (None, "-"):
            write_file(Path(self._options.csv), to_frame(rows).to_csv(index=False))
        if self._options.json == "-":
            print(json_text(rows))
        elif self._options.json is not None:
            write_file(Path(self._options.json), json_text(rows) + "\n")
        if self._shows_table() and self._rows:
            self._terminal.print_paragraphs(self._heading)
            self._terminal.print_results(self._rows, plot=plot, ascii_only=self._options.ascii)


def _recipe_in_words(point: PathPoint) -> str:
    """Data, network and training of a point: what its accuracy is the accuracy of."""
    task, recipe = point.dense.task, point.dense.task.recipe
    network = task.network
    biases = "with" if network.fit_intercept else "without"
    epochs = f"{recipe.max_iter} epoch{'s' if recipe.max_iter > 1 else ''}"
    parameters = sum(p.size for p in point.dense.training.parameters)
    return (
        f"{'-'.join(map(str, network.sizes))} {network.activation} {biases} biases ({parameters:,} parameters); "
        f"{recipe.solver} {recipe.learning_rate_init:g}, batch {recipe.batch_size}, {epochs}, "
        f"{task.precision} on {task.device}"
    )


def _forget(point: PathPoint) -> None:
    """Keep nothing of a point but its row."""


def _preset(options: argparse.Namespace) -> Preset:
    from ..estimators.studies import PRESETS, Preset

    if options.preset is None:
        return Preset("", dataset="digits")
    if options.preset not in PRESETS:
        raise UsageError(f"there is no preset {options.preset!r}; the presets are {', '.join(PRESETS)}")
    return PRESETS[options.preset]


def _parameters(options: argparse.Namespace, preset: Preset, without: Sequence[str] = ()) -> dict[str, Any]:
    """The classifier's parameters that the preset or the options set."""
    from ..estimators import PrunedMLPClassifier

    names = PrunedMLPClassifier().get_params()
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    given.pop("sparsity", None)
    return _variant({k: v for k, v in {**preset.parameters, **given}.items() if k not in without})


def _variant(parameters: dict[str, Any]) -> dict[str, Any]:
    """With the norm as a number, where it is one."""
    if parameters.get("norm") in ("1", "2"):
        parameters["norm"] = int(parameters["norm"])
    return parameters


def _load(name: str, options: argparse.Namespace) -> Bunch:
    from ..estimators import load_dataset

    def tell(sentence: str) -> None:
        print(sentence, file=sys.stderr)

    with _usage_errors():
        return load_dataset(name, options.data_root, download=options.download, progress=tell)


def _check_can_write(path: Path) -> None:
    """Refuse a file that could not be written before hours go into what it is for."""
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: the directory {path.parent} does not exist")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: permission denied")


@contextmanager
def _usage_errors() -> Iterator[None]:
    """What the estimators refuse is the user's to mend."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Warnings as one line each on standard error, each once."""
    seen: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in seen:
            seen.add(str(message))
            print(f"note: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _is_out_of_memory(error: BaseException) -> bool:
    # torch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error)


def _fail(options: argparse.Namespace, message: object, status: int) -> int:
    print(f"prunelab {options.command}: {message}", file=sys.stderr)
    return status
