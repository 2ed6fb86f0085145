"""Curves of several runs, and their differences at equal sparsity: pure functions of the points' rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ...estimators.curves import name_of, value_name, varying
from ...estimators.parameters import DEFAULTS, WAYS
from ...estimators.studies.paired import MIN_PAIRS, confidence_interval
from ...estimators.studies.statistics import mean_interval
from .spec import RunSpec

Row = Mapping[str, Any]
Figures = dict[float, dict[int, float]]
"""Values of a measure by sparsity and seed."""

#: The measures: the column of the rows, its label, and the factor for its unit.
MEASURES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss", 1.0)}

#: The quantities on the x axis.
AXES = {
    "sparsity": "sparsity (% removed)",
    "compression": "parameters removed (% of all)",
    "speedup": "multiply-adds removed (% of all)",
}


@dataclass(frozen=True)
class Curve:
    """The points of one way of pruning of one run.

    Attributes
    ----------
    run : str
        The id of the run.
    title : str
        The display name of the run.
    ways : dict
        The values of `WAYS`.
    rows : list
        The finished points; more may be appended.
    name : tuple of str
        Distinguishes the curve from the others in the comparison; see `named`.
    """

    run: str
    title: str
    ways: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    name: tuple[str, ...] = ()
    _known: dict[str, tuple[int, Figures]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> str:
        """Identifies the curve permanently."""
        return "/".join([self.run, *(str(self.ways[name]) for name in WAYS)])

    @property
    def seeds(self) -> list[int]:
        """The seeds that have points."""
        return sorted({row["seed"] for row in self.rows})

    def values(self, measure: str) -> Figures:
        """The values by sparsity and seed; unknown ones are omitted."""
        n_rows, known = self._known.get(measure, (-1, {}))
        if n_rows == len(self.rows):
            return known
        values: Figures = {}
        for row in self.rows:
            value = number(row.get(measure))
            if math.isfinite(value):
                values.setdefault(round(row["sparsity"], 9), {})[row["seed"]] = value
        values = dict(sorted(values.items()))
        self._known[measure] = len(self.rows), values
        return values


class Point(NamedTuple):
    """A point of a curve: its position, the mean over the seeds, and its 95 % interval (NaN for one seed)."""

    x: float
    mean: float
    low: float
    high: float


class Difference(NamedTuple):
    """A curve at one sparsity, compared with another curve.

    Attributes
    ----------
    mean : float
        The mean of the curve.
    change : float or None
        The difference from the other curve; None if that has no point at this sparsity.
    half : float or None
        Half the 95 % interval of the mean difference between seeds, calibrated for skewed differences as in studies;
        None with fewer than three common seeds.
    """

    mean: float
    change: float | None = None
    half: float | None = None


def number(value: Any) -> float:
    """Convert a JSON value to a number; None is NaN."""
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        return math.nan


def curves_of(run: str, title: str, spec: RunSpec, rows: Iterable[Row] = ()) -> list[Curve]:
    """The curves of a run, one for every way of pruning, with the given rows."""
    curves = [Curve(run, title, {name: way.get(name, DEFAULTS[name]) for name in WAYS}) for way in spec.variants]
    assign_rows(curves, rows)
    return curves


def assign_rows(curves: Iterable[Curve], rows: Iterable[Row]) -> None:
    """Append rows to the curves that they belong to."""
    by_way = {_as_key(curve.ways): curve for curve in curves}
    for row in rows:
        if (curve := by_way.get(_as_key(row))) is not None:
            curve.rows.append(row)


def named(curves: Sequence[Curve]) -> list[Curve]:
    """The curves with names: the title of their run, if there are several runs, and the values of `WAYS` that vary."""
    titles = {curve.run: curve.title for curve in curves}
    same = {title for title in titles.values() if list(titles.values()).count(title) > 1}
    differing = varying(curve.ways for curve in curves)
    named = []
    for curve in curves:
        title = f"{curve.title} ({curve.run.rsplit('-', 1)[-1]})" if curve.title in same else curve.title
        values = [value_name(name, curve.ways[name]) for name in differing]
        parts = [title, *values] if len(titles) > 1 else values or [name_of(curve.ways, [])]
        named.append(replace(curve, name=tuple(parts)))
    return named


def varying_ways(curves: Iterable[Curve]) -> dict[str, list[Any]]:
    """The parameters in which curves differ, and their values."""
    ways = [curve.ways for curve in curves]
    return {name: list({str(way[name]): way[name] for way in ways}.values()) for name in varying(ways)}


def nearest(curve: Curve, others: Iterable[Curve]) -> Curve | None:
    """The curve with the most similar way of pruning, granularity first; the first of equally similar ones."""

    def likeness(other: Curve) -> tuple[bool, int]:
        same = [str(curve.ways[name]) == str(other.ways[name]) for name in WAYS]
        return same[WAYS.index("granularity")], sum(same)

    return max(others, key=likeness, default=None)


def opponents(curves: Sequence[Curve], base: Curve, *, alone: bool) -> dict[str, Curve | None]:
    """The curve that each curve is compared with, by key; None for a baseline.

    Parameters
    ----------
    curves : sequence of Curve
    base : Curve
        One of them.
    alone : bool
        Whether all curves are compared with `base` itself. Otherwise its run is the baseline: curves of other runs are
        compared with the curve of that run that is pruned in the most similar way, and those of the same run
        with its first curve.
    """
    of_base = [curve for curve in curves if curve.run == base.run]
    found: dict[str, Curve | None] = {}
    for curve in curves:
        other = base if alone else of_base[0] if curve.run == base.run else nearest(curve, of_base)
        found[curve.key] = None if other is None or other.key == curve.key else other
    return found


def differences(curve: Curve, other: Curve | None, measure: str = "accuracy") -> dict[float, Difference]:
    """A curve at each of its sparsities, compared with another one.

    If the curves have seeds in common, the differences are paired by seed, and only common seeds count;
    otherwise the result is the difference of the means.
    """
    beside = {} if other is None else other.values(measure)
    found = {}
    for sparsity, values in curve.values(measure).items():
        mean = _mean(values.values())
        others = beside.get(sparsity)
        if others is None:
            found[sparsity] = Difference(mean)
            continue
        common = values.keys() & others.keys()
        if not common:
            found[sparsity] = Difference(mean, mean - _mean(others.values()))
            continue
        gaps = [values[seed] - others[seed] for seed in sorted(common)]
        half = None
        if len(gaps) >= MIN_PAIRS:
            low, high = confidence_interval(gaps)
            half = float(high - low) / 2
        found[sparsity] = Difference(mean, _mean(gaps), half)
    return found


def drawn(curve: Curve, measure: str = "accuracy", axis: str = "sparsity") -> list[Point]:
    """The points of a curve for plotting, in the units of `MEASURES` and in percent along `AXES`."""
    factor = MEASURES[measure][1]
    across: dict[float, list[float]] = {}
    if axis != "sparsity":
        for row in curve.rows:
            removed = 1 - 1 / (number(row.get(axis)) or math.nan)
            across.setdefault(round(row["sparsity"], 9), []).append(100 * removed)
    points = []
    for sparsity, values in curve.values(measure).items():
        at = _mean(across[sparsity]) if across else 100 * sparsity
        if math.isfinite(at):
            points.append(Point(at, *(factor * value for value in mean_interval(list(values.values())))))
    return points


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _as_key(ways: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(ways.get(name, DEFAULTS[name])) for name in WAYS)
