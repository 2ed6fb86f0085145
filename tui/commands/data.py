"""``prunelab data``: list, download and show data sets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..output import Terminal
from ..streams import can_draw, print_message
from ..text import clean
from .common import run_safely, usage_errors
from .request import load, options_of

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Run a parsed ``data`` command; returns the exit status."""
    return run_safely(_run, options)


def _run(options: argparse.Namespace) -> int:
    """List the data sets, or describe one."""
    from ...estimators.data.datasets import describe_datasets, one_per_class
    from ...estimators.data.source import DataSource
    from ..drawing.images import draw_gallery
    from ..service.pictures import Pictures

    terminal = Terminal.of(sys.stdout)
    if options.dataset is None:
        with usage_errors():
            datasets = describe_datasets(options.data_root)
        terminal.print_datasets(datasets)
        return 0
    bunch = load(DataSource(options.dataset, options.data_root, options.pixels or "auto", options_of(options)), options)
    counts = ", ".join(f"{len(y):,} {part}" for part, y in (("training", bunch.y_train), ("test", bunch.y_test)))
    print_message(
        f"{bunch.name}: {counts} samples of {bunch.X_train.shape[1]:,} features, {len(bunch.class_names)} classes",
        sys.stdout,
    )
    print_message(bunch.source, sys.stdout)
    ascii_only = options.ascii or not can_draw(sys.stdout)
    names = [clean(name, ascii_only) for name in bunch.class_names]
    first = one_per_class(bunch.X_train, bunch.y_train)
    images = Pictures(bunch).of(bunch.X_train[first])
    if images is None:
        print("classes: " + ", ".join(names))
        return 0
    print()
    options_of_drawing = {"width": terminal.width, "colour": terminal.colour, "ascii_only": ascii_only}
    print(draw_gallery(list(images), names, limits=(0, 255), **options_of_drawing))
    return 0
