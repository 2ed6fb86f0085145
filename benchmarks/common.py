"""What the benchmarks share: arguments, data, interleaved timing, and printing of results."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sklearn.utils import Bunch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")


def arguments(description: str | None, repeats: int) -> argparse.ArgumentParser:
    """A parser with the arguments of all benchmarks; `repeats` is the default of --repeats."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", metavar="DIR", help="the folder that contains MNIST (default: prunelab's own)")
    parser.add_argument("--quick", action="store_true", help="a smoke test in seconds, whose times are meaningless")
    parser.add_argument("--repeats", type=int, default=repeats, metavar="N", help=f"rounds (default: {repeats})")
    return parser


def load(args: argparse.Namespace, name: str = "mnist") -> Bunch:
    """Load a data set; exit with an error message if it cannot be loaded."""
    from prunelab.estimators import DatasetError, load_dataset

    try:
        return load_dataset(name, args.data_root)
    except DatasetError as error:
        sys.exit(str(error))


def chosen_precision(data: Bunch, device: str) -> str:
    """The precision that "auto" selects for the network of the original experiment on these data."""
    from prunelab.estimators.backend import resolve_device, resolve_precision

    sizes = (data.X_train.shape[1], 1000, 1000, 500, 200, 10)
    n_weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    return resolve_precision("auto", resolve_device(device), len(data.X_train) * n_weights)


def first(data: Bunch, n_train: int, n_test: int) -> Bunch:
    """The first samples of a data set."""
    return Bunch(
        X_train=data.X_train[:n_train],
        y_train=data.y_train[:n_train],
        X_test=data.X_test[:n_test],
        y_test=data.y_test[:n_test],
    )


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """The duration of a call in seconds, and its result."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


class Clock:
    """Times consecutive steps."""

    def __init__(self):
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last call, or since the start."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds


def interleave(contestants: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Call A B C, A B C, ... and return the results of each, so that other load affects all of them."""
    results: dict[str, list[T]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, contestant in contestants.items():
            results[name].append(contestant())
    return results


def spread(values: Sequence[float], digits: int = 2, scale: float = 1.0) -> str:
    """Median (min, max), or the value itself if there is only one."""
    scaled = [value * scale for value in values]
    median = f"{statistics.median(scaled):.{digits}f}"
    if len(scaled) == 1:
        return median
    return f"{median} ({min(scaled):.{digits}f}, {max(scaled):.{digits}f})"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, the first left-aligned and the others right-aligned."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
    print()


def print_goal(
    sentence: str, value: float, *, quick: bool, at_least: float | None = None, at_most: float | None = None
):
    """Print a result, and whether it meets its goal; a smoke test has no goals."""
    if quick:
        print(f"{sentence} (smoke test: no goal)")
    elif at_least is not None:
        print(f"{sentence} (goal: at least {at_least:g}, {'met' if value >= at_least else 'MISSED'})")
    else:
        assert at_most is not None
        print(f"{sentence} (goal: at most {at_most:g}, {'met' if value <= at_most else 'MISSED'})")


def print_faster(a: str, b: str, seconds_a: Sequence[float], seconds_b: Sequence[float], *, goal: float, quick: bool):
    """Print how many times faster (or slower) `a` is than `b`, by their medians."""
    ratio = statistics.median(seconds_b) / statistics.median(seconds_a)
    comparison = f"{ratio:.1f} times faster" if ratio >= 1 else f"{1 / ratio:.1f} times slower"
    print_goal(f"{a} is {comparison} than {b}", ratio, quick=quick, at_least=goal)


def print_machine() -> None:
    """Print what the times depend on, and a warning if the machine is busy."""
    import torch

    print(
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load_average > 0.5:
        print(f"Warning: the load average is {load_average:.1f}; other processes affect the times.")
    print(flush=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
