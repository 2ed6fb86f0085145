"""Exports of a run for other programs: CSV, JSON, an SVG picture, and the dense network."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.files import MAX_ARRAY_BYTES, read_file, write_output
from ..curves import CURVE, named_rows
from ..tables import csv_text, json_text
from .store import RunError, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .spec import RunSpec
    from .store import Run

FORMATS = {
    "csv": "the table of points, for pandas and spreadsheets",
    "json": "the table as a list of objects",
    "svg": "a picture of the curves",
    "model": "the dense network of the first seed, a model file (.safetensors)",
}

_ENDINGS = {"model": "safetensors"}


def default_name(run: Run, kind: str) -> str:
    """The default file name of an export."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in run.name or run.id).strip("-.") or run.id
    return f"{stem}.{_ENDINGS.get(kind, kind)}"


def default_names(runs: Sequence[Run], kind: str) -> list[str]:
    """Default file names for several runs, all different: ids are added to equal names."""
    names = [default_name(run, kind) for run in runs]
    return [
        name if names.count(name) == 1 else f"{Path(name).stem}-{run.id}{Path(name).suffix}"
        for run, name in zip(runs, names, strict=True)
    ]


def export(run: Run, kind: str, path: str | os.PathLike[str], seed: int | None = None) -> Path:
    """Write a file.

    Parameters
    ----------
    run : Run
    kind : str
        One of `FORMATS`.
    path : path-like
        The file, or a folder, in which the default name is used.
    seed : int, optional
        The seed of the model; by default the first available.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    RunError
        If there is nothing to write, or the file cannot be written.
    """
    target = Path(os.path.expanduser(path))
    target = target / default_name(run, kind) if target.is_dir() else target
    content = model_bytes(run, seed) if kind == "model" else export_text(run, kind)
    try:
        write_output(target, content)
    except OSError as error:
        raise RunError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def export_text(run: Run, kind: str) -> str:
    """The content of an export as "csv", "json" or "svg"."""
    rows = [_with_estimator(numbers(row), run.spec) for row in run.points()]
    if not rows:
        raise RunError(f"{run.id} has no finished points yet, so there is nothing to export")
    if kind == "svg":
        return svg_text(named_rows(rows, run.spec))
    return {"csv": csv_text, "json": json_text}[kind](rows)


def _with_estimator(row: dict[str, Any], spec: RunSpec) -> dict[str, Any]:
    """A row with the estimator beside the ways of pruning, unless it is a multi-layer perceptron."""
    return row if spec.estimator == "mlp" else {**row, "estimator": spec.estimator}


def model_bytes(run: Run, seed: int | None = None) -> bytes:
    """The content of an export as "model": the dense network of a seed, by default the first available."""
    seeds = run.models()
    chosen = seed if seed is not None else next(iter(seeds), None)
    if chosen is None or chosen not in seeds:
        which = "" if seed is None else f" of seed {seed}"
        raise RunError(f"{run.id} has no network{which} to export: it is not trained yet, or was not kept")
    path = run.model_path(chosen)
    try:
        return read_file(path, MAX_ARRAY_BYTES, follow_links=False)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error


def svg_text(
    rows: list[dict[str, Any]], width: int = 100, height: int = 28, title: str = "Accuracy after pruning"
) -> str:
    """The curves of `named_rows` as a picture of a terminal."""
    from rich.console import Console
    from rich.text import Text

    from ..drawing.plotting import plot_accuracy_curves

    plot = plot_accuracy_curves(rows, width=width, height=height, title=None, group_by=(CURVE,))
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="256")
    console.print(Text.from_ansi(plot), no_wrap=True)
    return console.export_svg(title=title)
