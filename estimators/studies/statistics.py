"""Means over seeds, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..parameters import WAYS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of some numbers and the Student-t interval of that mean.

    Parameters
    ----------
    values : array-like of shape (n,)
        Values that are not finite are left out.
    confidence : float, default=0.95

    Returns
    -------
    mean, low, high : float
        With a single value low and high are NaN (one run gives no estimate of the spread); with none all three.
    """
    sample = np.asarray(values, dtype=float)
    sample = sample[np.isfinite(sample)]
    mean = float(sample.mean()) if len(sample) else float("nan")
    if len(sample) < 2:
        return mean, float("nan"), float("nan")
    from scipy.special import stdtrit

    half = stdtrit(len(sample) - 1, 0.5 + confidence / 2) * sample.std(ddof=1) / np.sqrt(len(sample))
    return mean, float(mean - half), float(mean + half)


#: How far, in accuracy, a curve falls below its beginning before it counts as past its knee.
KNEE_DROP = 0.02


def knee(sparsities: ArrayLike, accuracies: ArrayLike, drop: float = KNEE_DROP) -> float:
    """Where a curve of accuracy against sparsity has fallen by `drop`.

    That is the sparsity at which the curve, drawn straight from point to point, first is `drop` (two points in
    a hundred by default) below its value at the lowest sparsity.

    Parameters
    ----------
    sparsities, accuracies : array-like of shape (n,)
        In any order; points that are not finite are left out, equal sparsities are averaged.
    drop : float, default=0.02

    Returns
    -------
    float
        NaN if the curve has fewer than two points or never falls so far.
    """
    x, y = np.asarray(sparsities, dtype=float), np.asarray(accuracies, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    x, group = np.unique(x[known], return_inverse=True)
    if len(x) < 2:
        return float("nan")
    y = np.bincount(group, weights=y[known]) / np.bincount(group)
    level = y[0] - drop
    below = np.flatnonzero(y <= level)
    if not len(below):
        return float("nan")
    i = int(below[0])
    if i == 0:
        return float(x[0])
    return float(x[i - 1] + (x[i] - x[i - 1]) * (y[i - 1] - level) / (y[i - 1] - y[i]))


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Average a table of results over its seeds.

    Parameters
    ----------
    frame : DataFrame
        One row a point, with the columns of `prunelab.estimators.path.COLUMNS` and those of `WAYS` that vary.

    Returns
    -------
    DataFrame
        One row for each way of pruning and sparsity, in the order of `frame`: the mean of every figure, and
        ``low``, ``high`` (95 % interval of the mean accuracy, NaN for one seed) and ``seeds`` (how many).
    """
    ways = [*(name for name in WAYS if name in frame), "sparsity"]
    if frame.empty:
        return frame.drop(columns="seed").assign(low=[], high=[], seeds=[])
    groups = frame.groupby(ways, sort=False, dropna=False)
    summary = groups.mean(numeric_only=True).drop(columns="seed")
    intervals = [mean_interval(accuracies.to_numpy()) for _, accuracies in groups["accuracy"]]
    summary["low"] = [low for _, low, _ in intervals]
    summary["high"] = [high for _, _, high in intervals]
    summary["seeds"] = groups["seed"].nunique()
    return summary.reset_index()
