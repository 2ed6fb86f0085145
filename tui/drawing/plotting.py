"""Curves as text.

Every function here is pure: the same arguments give the same string; nothing is printed or kept between calls. The
command line prints the results, and the app shows them in its widgets. All functions accept ``colour`` (whether to use
ANSI escape codes) and ``ascii_only`` (whether to avoid characters outside ASCII), and return lines of exactly the
requested width, padded with spaces.

The colours are fixed entries of the 256-colour palette that can be read on dark and on light backgrounds. Curves differ
not only in colour: each has its own symbol, which the legend shows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len, set_cell_size

from ...estimators.curves import curve_names, style_of
from ...estimators.parameters import WAYS
from ...estimators.studies.statistics import mean_interval
from ..text import Segment, centred, clean, fitted, foreground, paint_line, shorten, width_of
from .axes import HUGE, Array, Axis, Limits, check_limits, linear_axis, log_axis, round_limits

if TYPE_CHECKING:
    from plotext._figure import _figure_class

__all__ = [
    "Series",
    "plot_accuracy_curves",
    "plot_curves",
    "thin",
]

MIN_WIDTH, MIN_HEIGHT = 20, 5  # Below this size a message replaces the plot.

GREY = 244

_FRAME_TO_ASCII = str.maketrans("│┤─┬└", "|+-++")

Numbers = Sequence[float] | npt.NDArray[Any]


@dataclass(frozen=True)
class Series:
    """One curve: its points, its name, and the interval around each point if known.

    Parameters
    ----------
    name : str
        The name in the legend; a curve with an empty name is not in the legend.
    x, y : sequence of float
        The points, in any order. Points that are not finite are dropped.
    low, high : sequence of float, optional
        The ends of an interval around each y, drawn as dotted lines; NaN if unknown.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None


def thin(x: Numbers, y: Numbers, limit: int) -> tuple[Array, Array]:
    """Reduce a curve to at most `limit` points that look the same when drawn.

    The range of x is divided into equal buckets, and the lowest and the highest point of each bucket are kept,
    together with the first and the last point.

    Parameters
    ----------
    x, y : sequence of float
        Finite coordinates; x need not be sorted.
    limit : int
        The largest number of points to keep, at least 4.

    Returns
    -------
    x, y : ndarray
        The points kept, in their original order.
    """
    if limit < 4:
        raise ValueError(f"limit must be at least 4, got {limit}")
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(x) <= limit:
        return x, y
    n_buckets = (limit - 2) // 2
    low, half_span = x.min(), x.max() / 2 - x.min() / 2  # Halved, so that the difference cannot overflow.
    position = (x / 2 - low / 2) / half_span if half_span > 0 else np.zeros_like(x)
    bucket = np.minimum((position * n_buckets).astype(int), n_buckets - 1)
    order = np.lexsort((y, bucket))
    starts = np.flatnonzero(np.diff(bucket[order], prepend=-1))
    ends = np.append(starts[1:], len(order)) - 1
    kept = np.unique(np.concatenate([order[starts], order[ends], [0, len(x) - 1]]))
    return x[kept], y[kept]


# Curves ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curve:
    """A series prepared for drawing: clean, sorted, in axis coordinates, with its style."""

    name: str
    x: Array
    y: Array
    low: Array
    high: Array
    symbol: str
    colour: int
    plain: bool = False  # A line without symbols.

    def values(self) -> Array:
        everything = np.concatenate([self.y, self.low, self.high])
        return everything[np.isfinite(everything)]


def _axis_values(values: Numbers | None, length: int, log: bool) -> Array:
    """Convert numbers to axis coordinates, NaN for those that cannot be drawn."""
    if values is None:
        return np.full(length, np.nan)
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (length,):
        raise ValueError(f"the parts of a series must be equally long, got {length} and {array.shape}")
    array = np.where(np.abs(array) < HUGE, array, np.nan)
    return np.log10(np.where(array > 0, array, np.nan)) if log else array


def _curve(series: Series, index: int, x_limits: Limits | None, log_y: bool, ascii_only: bool) -> _Curve:
    """Drop points that cannot be drawn or are outside the plot, and sort by x."""
    x = _axis_values(series.x, len(series.x), log=False)
    y, low, high = (_axis_values(part, len(x), log_y) for part in (series.y, series.low, series.high))
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    kept = kept[np.argsort(x[kept], kind="stable")]
    if x_limits is not None:  # Keep one point on either side, for the line that leads there.
        first, stop = np.searchsorted(x[kept], x_limits[0]), np.searchsorted(x[kept], x_limits[1], "right")
        kept = kept[max(int(first) - 1, 0) : int(stop) + 1]
    style = style_of(index)
    return _Curve(
        name=clean(series.name, ascii_only),
        x=x[kept],
        y=y[kept],
        low=low[kept],
        high=high[kept],
        symbol=style.ascii_symbol if ascii_only else style.symbol,
        colour=style.colour,
    )


def _clip(x: Array, y: Array, x_axis: Axis, y_axis: Axis) -> tuple[Array, Array]:
    """Clip a line at the edges of the plot; NaN separates the pieces (Liang and Barsky's algorithm)."""
    if np.all(x_axis.contains(x) & y_axis.contains(y)):
        return x, y
    enter, leave = np.zeros(len(x) - 1), np.ones(len(x) - 1)
    for start, change, axis in ((x[:-1], np.diff(x), x_axis), (y[:-1], np.diff(y), y_axis)):
        level = np.where(axis.contains(start), np.inf, -np.inf)  # For a piece along the edge.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            at_low = np.where(change == 0, -level, (axis.low - start) / change)
            at_high = np.where(change == 0, level, (axis.high - start) / change)
        enter = np.maximum(enter, np.where(change == 0, at_low, np.minimum(at_low, at_high)))
        leave = np.minimum(leave, np.where(change == 0, at_high, np.maximum(at_low, at_high)))
    seen = np.flatnonzero(enter <= leave)
    pieces = []
    for values, axis in ((x, x_axis), (y, y_axis)):
        ends = [values[seen] + t[seen] * np.diff(values)[seen] for t in (enter, leave)]
        inside = np.clip(ends, axis.low, axis.high)  # Rounding errors of huge numbers may lead far outside.
        pieces.append(np.vstack([inside, np.full(len(seen), np.nan)]).T.ravel())
    return pieces[0], pieces[1]


@dataclass(frozen=True)
class _Canvas:
    """The area inside the axes, in character cells."""

    figure: _figure_class
    columns: int
    rows: int
    x: Axis
    y: Axis
    colour: bool
    ascii_only: bool

    def draw(self, x: Array, y: Array, marker: str, colour: int, *, lines: bool) -> None:
        """Draw points or a line; the marker 'braille' draws fine dots, eight per cell."""
        method = self.figure.plot if lines else self.figure.scatter
        method(x.tolist(), y.tolist(), marker=marker, color=colour if self.colour else None)

    def snap_x(self, x: Array | float) -> Array:
        """Return the x of the cells through which a line at x runs."""
        return _snap(self.x, x, self.columns, 1 if self.ascii_only else 2)

    def snap_y(self, y: Array | float) -> Array:
        """Return the y of the cells through which a line at y runs."""
        return _snap(self.y, y, self.rows, 1 if self.ascii_only else 4)


def _snap(axis: Axis, values: Array | float, cells: int, dots: int) -> Array:
    """Move values to the centres of their cells, each `dots` dots wide."""
    dot = np.floor(np.round(0.5 + (cells * dots - 1) * axis.fraction(values), 8))
    cell = np.clip(dot // dots, 0, cells - 1)
    return axis.low + (axis.high - axis.low) * cell / (cells - 1)


def _draw_bounds(canvas: _Canvas, curve: _Curve) -> None:
    """Draw the ends of the intervals as dotted lines, one dot per column."""
    columns = np.linspace(canvas.x.low, canvas.x.high, canvas.columns)
    for bound in (curve.low, curve.high):
        known = np.isfinite(bound)
        if not known.any():
            continue
        x = curve.x[known]
        inside = columns[(columns >= x[0]) & (columns <= x[-1])]
        y = np.interp(inside, x, bound[known])
        seen = canvas.y.contains(y)
        marker = "." if canvas.ascii_only else "braille"
        canvas.draw(inside[seen], y[seen], marker, curve.colour, lines=False)


def _draw_symbols(canvas: _Canvas, curves: list[_Curve]) -> None:
    """Draw the symbols of all curves; coinciding curves alternate."""
    claims: dict[tuple[float, float], list[int]] = {}
    for index, curve in enumerate(curves):
        for cell in _symbol_cells(canvas, curve, index):
            claims.setdefault(cell, []).append(index)
    cells: list[list[tuple[float, float]]] = [[] for _ in curves]
    shared = itertools.count()
    for cell, claimants in sorted(claims.items()):
        turn = next(shared) if len(claimants) > 1 else 0
        cells[claimants[turn % len(claimants)]].append(cell)
    for curve, own in zip(curves, cells, strict=True):
        x, y = np.array(own).reshape(-1, 2).T
        canvas.draw(x, y, curve.symbol, curve.colour, lines=False)


def _symbol_cells(canvas: _Canvas, curve: _Curve, index: int) -> set[tuple[float, float]]:
    """Choose the points that get a symbol: all, or a few of many, at different positions for each curve."""
    if curve.plain:
        return set()
    seen = canvas.x.contains(curve.x) & canvas.y.contains(curve.y)
    x, y = curve.x[seen], curve.y[seen]
    if len(x) > canvas.columns // 3:
        wanted = np.arange(3 + 4 * (index % 3), canvas.columns, 12) / canvas.columns
        nearest = np.unique(np.searchsorted(canvas.x.fraction(x), wanted))
        nearest = nearest[nearest < len(x)]
        x, y = x[nearest], y[nearest]
    return set(zip(canvas.snap_x(x).tolist(), canvas.snap_y(y).tolist(), strict=True))


def _body(
    curves: list[_Curve],
    marks: list[float],
    x: Axis,
    y: Axis,
    size: tuple[int, int],
    colour: bool,
    ascii_only: bool,
) -> list[str]:
    """Draw the plot with its axes and tick labels, without legend and titles."""
    from plotext import uncolorize
    from plotext._figure import _figure_class  # A private figure: the public functions share a global one.

    width, height = size
    figure = _figure_class()
    figure._limit_size(False, False)  # Prevents shrinking to the current terminal size.
    figure.plot_size(width, height)
    figure.theme("clear")
    figure.xaxes(True, False)
    figure.yaxes(True, False)
    figure.xlim(x.low, x.high)
    figure.ylim(y.low, y.high)
    figure.xticks(x.ticks, x.labels)
    figure.yticks(y.ticks, y.labels)
    canvas = _Canvas(figure, width - y.label_width - 1, height - 2, x, y, colour, ascii_only)
    for mark in marks:
        column = np.full(canvas.rows, canvas.snap_x(mark))
        canvas.draw(column, np.linspace(y.low, y.high, canvas.rows), ":" if ascii_only else "┊", GREY, lines=False)
    for curve in curves:
        _draw_bounds(canvas, curve)
    for curve in curves:
        if len(curve.x) > 1:
            line = _clip(*thin(curve.x, curve.y, 2 * canvas.columns), x, y)
            canvas.draw(*line, curve.symbol if ascii_only else "braille", curve.colour, lines=True)
    _draw_symbols(canvas, curves)
    if not any(len(curve.x) for curve in curves):
        figure.text("no data", (x.low + x.high) / 2, (y.low + y.high) / 2, alignment="center")
    text = figure.build()
    text = text if colour else uncolorize(text)
    text = text.translate(_FRAME_TO_ASCII) if ascii_only else text
    return text.splitlines()


def _legend(curves: list[_Curve], width: int, max_rows: int, ascii_only: bool) -> list[list[Segment]]:
    """Arrange the legend in rows; its last entry counts the names that do not fit."""
    entries = [_legend_entry(curve, width, ascii_only) for curve in curves if curve.name]
    for shown in range(len(entries), 0, -1):
        rest = len(entries) - shown
        rows = _wrap(entries[:shown] + ([[(f"+{rest} more", "")]] if rest else []), width)
        if len(rows) <= max_rows:
            return rows
    return []


def _legend_entry(curve: _Curve, width: int, ascii_only: bool) -> list[Segment]:
    dash = curve.symbol if ascii_only else "⠒"
    symbol = dash if curve.plain else curve.symbol
    sample = f"{dash}{symbol}{dash}" if width >= 40 else symbol
    name = curve.name if len(curve.x) else f"{curve.name} (no data)"
    room = min(width - len(sample) - 1, max(width // 2, 24))
    return [(sample, foreground(curve.colour)), (" " + shorten(name, room, ascii_only), "")]


def _wrap(entries: list[list[Segment]], width: int) -> list[list[Segment]]:
    """Put entries into as few rows as needed, in order."""
    gap = 3 if width >= 40 else 1
    rows: list[list[Segment]] = []
    for entry in entries:
        if rows and width_of(rows[-1]) + gap + width_of(entry) <= width:
            rows[-1] = [*rows[-1], (" " * gap, ""), *entry]
        else:
            rows.append(entry)
    return rows


def _header(
    curves: list[_Curve], title: str | None, y_label: str | None, width: int, height: int, ascii_only: bool
) -> list[list[Segment]]:
    """Lay out the lines above the axes; a short legend is at the right end of the last one."""
    texts = [(title, "1", 9), (y_label, "", 7)]
    lines = [
        [(shorten(clean(text, ascii_only), width, ascii_only), code)]
        for text, code, least_height in texts
        if text and height >= least_height
    ]
    several = sum(bool(curve.name) for curve in curves) > 1
    legend = _legend(curves, width, height // 5 if several or height >= 7 else 0, ascii_only)
    gap = width - width_of(lines[-1]) - width_of(legend[0]) if lines and len(legend) == 1 else 0
    if gap >= 3:
        return [*lines[:-1], [*lines[-1], (" " * gap, ""), *legend[0]]]
    return lines + legend


def _y_axis(curves: list[_Curve], limits: Limits | None, rows: int, log: bool) -> Axis:
    values = np.concatenate([np.empty(0), *(curve.values() for curve in curves)])
    count = 3 if rows < 9 else 5 if rows < 45 else 11
    return log_axis(values, limits, count) if log else linear_axis(values, limits, None, count, widen=True)


def _x_axis(curves: list[_Curve], limits: Limits | None, ticks: Sequence[float] | None, columns: int) -> Axis:
    values = np.concatenate([np.empty(0), *(curve.x for curve in curves)])
    count = 3 if columns < 28 else 5 if columns < 150 else 11
    return linear_axis(values, limits, ticks, count, widen=False)


def _mark_rows(
    marks: list[tuple[float, str]], x: Axis, first: int, width: int, max_rows: int, ascii_only: bool
) -> list[list[Segment]]:
    """Centre labels above their marks, lower rows first; labels that do not fit are dropped."""
    rows: list[str] = []
    for at, label in sorted(marks):
        text = shorten(label, width - first, ascii_only)
        column = first + round(float(x.fraction(at)) * (width - first - 1))
        start = max(first, min(column - cell_len(text) // 2, width - cell_len(text)))
        fitting = next((i for i, row in enumerate(rows) if cell_len(row) < start), len(rows))
        if fitting == max_rows:
            continue
        if fitting == len(rows):
            rows.append("")
        rows[fitting] = set_cell_size(rows[fitting], start) + text
    return [[(row, foreground(GREY))] for row in reversed(rows)]


def plot_curves(
    series: Iterable[Series],
    *,
    width: int,
    height: int,
    title: str | None = None,
    x_label: str | None = None,
    y_label: str | None = None,
    colour: bool = True,
    ascii_only: bool = False,
    x_limits: Limits | None = None,
    y_limits: Limits | None = None,
    x_ticks: Sequence[float] | None = None,
    log_y: bool = False,
    marks: Iterable[tuple[float, str]] = (),
) -> str:
    """Draw curves over common axes.

    Each curve is a line of braille dots with its own symbol at the points (at some of them if they are
    dense); with `ascii_only` the line itself consists of the symbol. The legend is above the axes, never
    over a curve. A small plot omits its title and the labels of its axes.

    Parameters
    ----------
    series : iterable of Series
        The curves, drawn in this order.
    width, height : int
        The size of the result in columns and lines, both exact. Below 20 by 5 the result is only a message.
    title, x_label, y_label : str, optional
        The text around the axes. The label of the y axis is above it.
    colour : bool, default=True
        Whether to use ANSI escape codes.
    ascii_only : bool, default=False
        Whether to use only ASCII characters.
    x_limits, y_limits : tuple of (float, float), optional
        The ends of the axes; by default they follow the data.
    x_ticks : sequence of float, optional
        The positions of the numbers below the x axis.
    log_y : bool, default=False
        Whether the y axis is logarithmic; points at or below 0 are then dropped.
    marks : iterable of (float, str), optional
        Positions on the x axis to mark with a vertical line, and their labels.

    Returns
    -------
    str
        `height` lines of `width` columns each, without a newline at the end.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        blank = [" " * width] * (height - 1)
        return "\n".join([fitted("too small to plot", width, ascii_only=True), *blank])
    x_limits, y_limits = check_limits("x_limits", x_limits), check_limits("y_limits", y_limits, log_y)
    curves = [_curve(one, i, x_limits, log_y, ascii_only) for i, one in enumerate(series)]
    if len(curves) == 1 and len(curves[0].x) > width // 3:
        curves = [replace(curves[0], plain=True)]

    header = _header(curves, title, y_label, width, height, ascii_only)
    has_footer = bool(x_label) and height >= 9
    rows = height - 2 - len(header) - has_footer
    y = _y_axis(curves, y_limits, rows, log_y)
    first = y.label_width + 1
    x = _x_axis(curves, x_limits, x_ticks, width - first)
    marks = [(at, clean(label, ascii_only)) for at, label in marks if x.contains(at)]
    header += _mark_rows(marks, x, first, width, min(3, max(0, rows - 6)), ascii_only)
    footer = centred(clean(x_label, ascii_only), width - first, ascii_only)

    body_size = width, height - len(header) - has_footer
    body = _body(curves, [at for at, _ in marks], x, y, body_size, colour, ascii_only)
    lines = [paint_line(line, width, colour) for line in header] + body
    return "\n".join([*lines, " " * first + footer] if has_footer else lines)


# Accuracy --------------------------------------------------------------------------------------------------


def plot_accuracy_curves(
    rows: Iterable[Mapping[str, Any]],
    *,
    width: int,
    height: int,
    title: str | None = "Accuracy after pruning",
    colour: bool = True,
    ascii_only: bool = False,
    x_limits: Limits = (0, 100),
    y_limits: Limits | None = None,
    group_by: Sequence[str] = WAYS,
    marks: Iterable[tuple[float, str]] = (),
) -> str:
    """Draw accuracy against sparsity, averaged over seeds.

    With several seeds, dotted lines show the 95 % interval of the mean (Student's t).

    Parameters
    ----------
    rows : iterable of mapping
        One row per measurement, with ``sparsity`` and ``accuracy`` (both 0 to 1), ``seed`` if there are
        several, and the columns of `group_by` that apply. Rows with equal curve, sparsity and seed are
        averaged first, so that every seed counts once.
    width, height : int
        The size of the result in columns and lines, both exact.
    title : str, optional
        The heading.
    colour : bool, default=True
        Whether to use ANSI escape codes.
    ascii_only : bool, default=False
        Whether to use only ASCII characters.
    x_limits, y_limits : tuple of (float, float), optional
        The limits of the axes in percent. The y axis follows the data by default, within 0 and 100.
    group_by : sequence of str
        The columns that distinguish curves. A curve is named by its values of those that vary.
    marks : iterable of (float, str), optional
        Sparsities in percent to mark with a vertical line, and their labels.

    Returns
    -------
    str
        `height` lines of `width` columns each.
    """
    groups, n_seeds = _accuracies(list(rows), group_by)
    series = [_accuracy_series(name, points) for name, points in groups.items()]
    if y_limits is None:
        y_limits = _accuracy_limits(series)
    return plot_curves(
        series,
        width=width,
        height=height,
        title=title,
        x_label="sparsity (% removed)",
        y_label="accuracy (%)" + _seed_note(n_seeds),
        colour=colour,
        ascii_only=ascii_only,
        x_limits=x_limits,
        y_limits=y_limits,
        marks=marks,
    )


def _accuracies(
    rows: list[Mapping[str, Any]], group_by: Sequence[str]
) -> tuple[dict[str, dict[float, list[float]]], set[int]]:
    """Sort accuracies by curve and sparsity, one value per seed; also return the numbers of seeds."""
    names = curve_names(rows, group_by)
    # Every curve has its place, and with it its colour and symbol, even before it has points.
    by_seed: dict[str, dict[float, dict[object, list[float]]]] = {name: {} for name in names}
    for index, (name, row) in enumerate(zip(names, rows, strict=True)):
        accuracy = float(row["accuracy"])
        if math.isfinite(accuracy):
            seeds = by_seed[name].setdefault(round(100 * float(row["sparsity"]), 6), {})
            seeds.setdefault(row.get("seed", index), []).append(100 * accuracy)
    groups = {
        name: {sparsity: [float(np.mean(v)) for v in seeds.values()] for sparsity, seeds in points.items()}
        for name, points in by_seed.items()
    }
    return groups, {len(values) for points in groups.values() for values in points.values()}


def _accuracy_series(name: str, points: Mapping[float, list[float]]) -> Series:
    intervals = [mean_interval(values) for values in points.values()]
    mean, low, high = np.array(intervals).reshape(-1, 3).T
    return Series(name, list(points), mean, np.clip(low, 0, 100), np.clip(high, 0, 100))


def _accuracy_limits(series: list[Series]) -> Limits:
    """Return round limits around the data, at least one point apart, within 0 and 100."""
    parts = [np.asarray(part) for s in series for part in (s.y, s.low, s.high) if part is not None]
    values = np.concatenate([np.empty(0), *parts])
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return 0, 100
    low, high = float(values.min()), float(values.max())
    slack = max(0.0, 1 - (high - low)) / 2
    low, high = round_limits(low - slack, high + slack, 5)
    return max(low, 0.0), min(high, 100.0)


def _seed_note(n_seeds: set[int]) -> str:
    if max(n_seeds, default=1) == 1:
        return ""
    number = f"{min(n_seeds)}" if len(n_seeds) == 1 else f"{min(n_seeds)} to {max(n_seeds)}"
    return f", mean of {number} seeds, 95 % interval"
