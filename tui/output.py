"""Results on standard output: tables and curves."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from rich.cells import cell_len

from ..estimators.curves import varying
from .streams import can_draw, print_message, shown
from .text import padded, wrapped

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..estimators.data.datasets import DatasetInfo

Row = dict[str, Any]

#: Columns that distinguish curves; the first is the name of a curve if nothing varies.
LABELS = (
    "granularity", "schedule", "criterion", "scope", "norm", "order", "normalize", "reduce", "control",
    "fine_tune_schedule", "distribution", "pattern",
)  # fmt: skip

#: Of those, the columns that a command's table has only if they vary.
ADDED_LABELS = tuple(name for name in LABELS if name not in ("granularity", "criterion", "scope"))

#: Columns that are dropped, in this order, if the terminal is too narrow.
EXPENDABLE = ("updates", "loss", "classes", "image", "what", "compression", "took", "when", "points", "name")


@dataclass(frozen=True)
class Terminal:
    """Standard output: a terminal with a size, or a file or pipe (80 columns, no colours)."""

    stream: IO[str]
    is_terminal: bool
    width: int
    height: int
    colour: bool

    @classmethod
    def of(cls, stream: IO[str]) -> Terminal:
        """Inspect a stream."""
        is_terminal = stream.isatty()
        width, height = shutil.get_terminal_size() if is_terminal else (80, 24)
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return cls(stream, is_terminal, width, height, colour=is_terminal and not plain)

    def print_paragraphs(self, paragraphs: Sequence[str]) -> None:
        """Print sentences, wrapped to the width, and an empty line."""
        for paragraph in paragraphs:
            for line in wrapped(shown(paragraph, self.stream), self.width):
                print(line, file=self.stream)
        print(file=self.stream)

    def print_results(self, rows: Sequence[Row], plot: bool, ascii_only: bool, ways: Sequence[str] = LABELS) -> None:
        """Print the table, and the curve if `plot`; the columns `ways` distinguish curves."""
        from .drawing.plotting import plot_accuracy_curves

        self.print_table(*_results_table(rows, ways), left=ways)
        if plot:
            plot_text = plot_accuracy_curves(
                rows,
                width=min(self.width, 120),
                height=max(12, min(28, self.height - 2)),
                colour=self.colour,
                ascii_only=ascii_only or not can_draw(self.stream),
                group_by=ways,
            )
            print("\n" + plot_text, file=self.stream)

    def print_datasets(self, datasets: Sequence[DatasetInfo]) -> None:
        """Print the list of data sets."""
        header = ["name", "training", "test", "image", "classes", "state", "what"]
        rows = [
            [
                info.name,
                f"{info.n_train:,}",
                f"{info.n_test:,}",
                "x".join(map(str, info.image_shape)),
                str(info.n_classes),
                {"not downloaded": "missing"}.get(info.state, info.state),
                info.description,
            ]
            for info in datasets
        ]
        self.print_table(header, rows, left={"name", "state", "what"})
        for info in datasets:
            if info.state != "ready":
                print_message(f"{info.name}: {info.checked}", self.stream)

    def print_table(self, header: list[str], rows: list[list[str]], left: Collection[str] = ()) -> None:
        """Print cells in columns; the columns named in `left` are left-aligned; an empty row is an empty line."""
        rows = [[shown(cell, self.stream) for cell in row] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip(header, *(row for row in rows if row), strict=True)]
        for name in EXPENDABLE:
            if name in header and sum(widths) + 2 * (len(widths) - 1) > self.width and self.is_terminal:
                i = header.index(name)
                header, widths = header[:i] + header[i + 1 :], widths[:i] + widths[i + 1 :]
                rows = [row[:i] + row[i + 1 :] for row in rows]
        for i, row in enumerate([header, *rows]):
            cells = [
                padded(cell, width, is_right=name not in left)
                for name, cell, width in zip(header, row, widths, strict=False)
            ]
            line = "  ".join(cells).rstrip()
            print(f"\x1b[1m{line}\x1b[0m" if i == 0 and self.colour else line, file=self.stream)


def _results_table(rows: Sequence[Row], labels: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: one line per way of pruning and sparsity, with means and intervals over the seeds."""
    from ..estimators.studies.statistics import mean_interval

    ways = [name for name in labels if name in rows[0]]
    shown = varying(rows, ways) or ways[:1]
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((*(row[name] for name in ways), row["sparsity"]), []).append(row)
    several = any(len(group) > 1 for group in groups.values())
    retrained = "accuracy_before_fine_tuning" in rows[0]
    # Points of earlier versions lack this column.
    has_effective = all(math.isfinite(row.get("effective_sparsity", math.nan)) for row in rows)
    header = [*shown, "sparsity", *["effective"] * has_effective]
    recalibrated = "accuracy_not_recalibrated" in rows[0]
    header += ["not recalibrated %"] * recalibrated
    header += ["pruned %", "retrained %"] if retrained else ["accuracy %"]
    header += ["+- (95 %)"] * several + ["loss", "non-zero", "compression", "speed-up"]
    counted = all(row.get("updates") is not None for row in rows)  # absent from runs of earlier versions
    header += ["updates"] * counted
    cells: list[list[str]] = []
    previous = None
    for key, group in groups.items():
        if previous not in (None, key[:-1]):
            cells.append([])
        previous = key[:-1]
        mean, _, high = mean_interval([row["accuracy"] for row in group])
        line = [str(group[0][name]) for name in shown] + [f"{key[-1]:g}"]
        if has_effective:
            line.append(f"{_mean(group, 'effective_sparsity'):.4g}")
        if recalibrated:
            accuracy = 100 * _mean(group, "accuracy_not_recalibrated")
            line.append(f"{accuracy:.2f}" if math.isfinite(accuracy) else "")
        if retrained:
            line.append(f"{100 * _mean(group, 'accuracy_before_fine_tuning'):.2f}")
        line.append(f"{100 * mean:.2f}")
        if several:
            line.append(f"{100 * (high - mean):.2f}")
        line.append(f"{_mean(group, 'loss'):.4f}")
        line.append(f"{_mean(group, 'nonzero'):,.0f}")
        line += [_times(_mean(group, name)) for name in ("compression", "speedup")]
        if counted:
            line.append(f"{_mean(group, 'updates'):,.0f}")
        cells.append(line)
    return header, cells


def _mean(group: Sequence[Row], name: str) -> float:
    return sum(row[name] for row in group) / len(group)


def _times(factor: float) -> str:
    return f"{factor:.2f}x" if math.isfinite(factor) else "inf"
