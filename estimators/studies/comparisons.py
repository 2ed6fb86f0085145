"""Tables of comparisons: the results of a study, paired by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .paired import (
    MIN_PAIRS,
    MIN_PAIRS_FOR_POWER,
    NO_SPREAD,
    confidence_interval,
    detectable_effect,
    holm,
    p_value,
)
from .statistics import knee

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The columns of a table of comparisons beside those that name the comparison.
FIGURES = ["n", "missing", "difference", "spread", "low", "high", "p", "p_holm", "detectable"]


_NONE = pd.Series(dtype=float)


def paired_differences(
    frame: pd.DataFrame,
    baseline: str | float,
    within: Sequence[str] = (),
    at_equal_sparsity: bool = True,
    column: str = "accuracy",
) -> pd.DataFrame:
    """The difference in accuracy, or in another column, of every method from the baseline, seed by seed.

    Parameters
    ----------
    frame : DataFrame
        With ``seed``, ``sparsity``, ``method``, the columns `within` and `column`. A seed that occurs several times
        is averaged; values that are not finite count as missing.
    baseline : str or float
        The method that the others are compared with.
    within : sequence of str
        Columns whose values are kept apart.
    at_equal_sparsity : bool, default=True
        Whether rows are compared at equal sparsity only, and not at sparsity 0, where all are the dense network.
    column : str, default="accuracy"

    Returns
    -------
    DataFrame
        One row a comparison: the columns of `within`, ``sparsity`` (if equal), ``method``, ``n`` (seeds that both
        have), ``missing`` (tuple of the seeds of `frame` that one of them lacks), ``difference`` (mean), ``spread``
        (standard deviation), ``low`` and ``high`` (95 % interval) and ``p`` (two-sided; both as in `paired`),
        ``p_holm`` (corrected for all comparisons of this table) and ``detectable`` (the smallest difference that so
        many seeds with this scatter show with a probability of 80 % at the strictest step of the correction). What
        cannot be known is NaN: interval and p-value with fewer than `MIN_PAIRS` seeds or where all differences are
        identical, the detectable difference also with fewer than `MIN_PAIRS_FOR_POWER` seeds.
    """
    keys = [*within, *(["sparsity"] if at_equal_sparsity else [])]
    columns = [*keys, "method", *FIGURES]
    known = frame[np.isfinite(frame[column].astype(float))]
    by_seed = {
        tuple(names.values()): group.groupby("seed")[column].mean()
        for names, group in groups_of(known, [*keys, "method"])
    }
    seeds = sorted(frame["seed"].unique())
    is_accuracy = column.endswith("accuracy")
    rows: list[dict[str, Any]] = []
    for names, _ in groups_of(frame[frame["method"] != baseline], [*keys, "method"]):
        if at_equal_sparsity and names["sparsity"] == 0:
            continue
        group = [names[key] for key in keys]
        mine, base = (by_seed.get((*group, method), _NONE) for method in (names["method"], baseline))
        gaps = (mine - base).reindex(seeds)
        missing = tuple(gaps.index[gaps.isna()].tolist())
        rows.append({**names, **_figures(gaps.dropna().to_numpy(dtype=float), is_accuracy), "missing": missing})
    if not rows:
        return pd.DataFrame(columns=columns)
    (table,) = correct([pd.DataFrame(rows)])
    return table[columns]


def differences_from_dense(frame: pd.DataFrame, column: str = "accuracy") -> pd.DataFrame:
    """The difference of every method's networks from the dense network of the same seed.

    Returns
    -------
    DataFrame
        One row a method and sparsity: ``method``, ``sparsity``, ``dense`` (its mean), and the figures of
        `paired_differences`.
    """
    named = frame.assign(by_sparsity=frame["sparsity"]).drop(columns="sparsity")
    named = named.rename(columns={"method": "of", "by_sparsity": "method"})
    table = paired_differences(named, 0.0, ("of",), at_equal_sparsity=False, column=column)
    dense = frame[frame["sparsity"] == 0].groupby("method")[column].mean()
    table = table.rename(columns={"method": "sparsity", "of": "method"})
    return table.assign(dense=[float(dense.get(method, np.nan)) for method in table["method"]])


def correct(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The tables with ``p_holm`` and ``detectable`` for all of their comparisons together."""
    p_values = np.concatenate([table["p"].to_numpy(dtype=float) for table in tables])
    corrected = holm(p_values)
    n_tests = int(np.isfinite(p_values).sum())
    done = []
    for table in tables:
        detectable = [_detectable(n, spread, n_tests) for n, spread in zip(table["n"], table["spread"], strict=True)]
        done.append(table.assign(p_holm=corrected[: len(table)], detectable=detectable))
        corrected = corrected[len(table) :]
    return done


def knees(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The knee of every curve, a row each: the columns `keys`, and ``knee``."""
    rows = [
        {**names, "knee": knee(group["sparsity"].to_numpy(dtype=float), group["accuracy"].to_numpy(dtype=float))}
        for names, group in groups_of(frame, list(keys))
    ]
    return pd.DataFrame(rows, columns=[*keys, "knee"])


def groups_of(frame: pd.DataFrame, keys: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The parts of a table with the same values of some columns, and these; without columns, the whole."""
    if not keys:
        yield {}, frame
        return
    for key, group in frame.groupby(keys, sort=False):
        yield dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True)), group


def _figures(gaps: np.ndarray, is_accuracy: bool) -> dict[str, Any]:
    """Estimate, interval and p-value of the mean of some differences."""
    n = len(gaps)
    spread = float(gaps.std(ddof=1)) if n > 1 else np.nan
    figures = {"n": n, "difference": float(gaps.mean()) if n else np.nan, "spread": spread}
    if n < MIN_PAIRS or not spread > NO_SPREAD:
        return {**figures, "low": np.nan, "high": np.nan, "p": np.nan}
    low, high = confidence_interval(gaps)
    if is_accuracy:  # a fraction from 0 to 1
        low, high = max(low, -1.0), min(high, 1.0)
    return {**figures, "low": float(low), "high": float(high), "p": float(p_value(gaps))}


def _detectable(n: int, spread: float, n_tests: int) -> float:
    if n < MIN_PAIRS_FOR_POWER or not spread > NO_SPREAD:
        return np.nan
    return detectable_effect(n, n_tests) * spread
