"""From the table of a study to an answer: paired differences, a test, and a sentence or two.

Everything said is computed from the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from scipy import optimize, stats

from ..presets import WAYS
from .catalogue import AUTHORS_CURVES
from .statistics import knee, mean_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .catalogue import Study

#: The error that is allowed when a difference is called one, over all comparisons of a method together.
ALPHA = 0.05

#: Differences that scatter no more than this are the same.
NO_SPREAD = 1e-12

TEST = "paired t-test over seeds, Holm-corrected over the comparisons of each method"


@dataclass(frozen=True)
class Answer:
    """What a study found.

    Attributes
    ----------
    frame : DataFrame
        One row a point: the columns of a sparsity path, the ways of pruning, ``part`` and ``method``.
    differences : DataFrame
        One row a comparison; see `paired_differences`.
    knees : DataFrame
        The knee of every curve; see `prunelab.estimators.studies.statistics.knee`.
    against_dense : dict of str to DataFrame
        For each column of `study.against_dense`, the differences of every method from the dense network; see
        `differences_from_dense`.
    verdict : list of str
        Sentences.
    """

    frame: pd.DataFrame
    differences: pd.DataFrame
    knees: pd.DataFrame
    against_dense: dict[str, pd.DataFrame]
    verdict: list[str]


def method_names(rows: Sequence[Mapping[str, Any]], ways: Mapping[str, Sequence], part: str, study: Study) -> list[str]:
    """What tells the methods of a part apart: its label, and the values of the ways that vary in it."""
    if study.compares_sparsities:
        return [f"{row['sparsity']:g}" for row in rows]
    varying = [name for name in WAYS if len(ways.get(name, ())) > 1 and name not in study.within]
    texts = [", ".join(str(row[name]) for name in varying) for row in rows]
    return [": ".join(filter(None, (part, text))) for text in texts]


def analyse(study: Study, frame: pd.DataFrame) -> Answer:
    """Compare every method of a study with its baseline.

    Parameters
    ----------
    study : Study
    frame : DataFrame
        With ``seed``, ``sparsity``, ``accuracy``, ``method``, and the columns of `study.within`.
    """
    differences = paired_differences(frame, study.baseline, study.within, not study.compares_sparsities)
    knees = _knees(frame, study)
    verdict = _verdict_of_original(frame, knees) if study.parts.keys() == {""} and _is_original(study) else []
    verdict += _verdict(differences, study)
    against_dense = {column: differences_from_dense(frame, column) for column in study.against_dense}
    for column, table in against_dense.items():
        verdict += _verdict_against_dense(table, column)
    return Answer(frame, differences, knees, against_dense, verdict)


def paired_differences(
    frame: pd.DataFrame,
    baseline: str | float,
    within: Sequence[str] = (),
    at_equal_sparsity: bool = True,
    column: str = "accuracy",
) -> pd.DataFrame:
    """The difference in accuracy, or another column, of every method from the baseline, seed by seed.

    Returns
    -------
    DataFrame
        One row a comparison: the columns of `within`, ``sparsity`` (if equal), ``method``, ``n`` (seeds that both
        have), ``difference`` (mean), ``low`` and ``high`` (95 % interval), ``p`` (two-sided paired t-test), ``p_holm``
        (corrected for all comparisons of the method within a group, by Holm's method), and ``detectable``: the
        smallest difference that so many seeds, scattering so, show with a probability of 80 %, also if it has to
        pass the strictest step of the correction; NaN where the scattering is not known.
    """
    keys = [*within, *(["sparsity"] if at_equal_sparsity else [])]
    base = frame[frame["method"] == baseline].set_index([*keys, "seed"])[column]
    rows: list[dict[str, Any]] = []
    for values, group in _groups(frame[frame["method"] != baseline], [*keys, "method"]):
        mine = group.set_index([*keys, "seed"])[column]
        gaps = (mine - base.reindex(mine.index)).dropna().to_numpy(dtype=float)
        if len(gaps) and not (at_equal_sparsity and values["sparsity"] == 0):
            rows.append({**values, **_test(gaps)})
    columns = [*keys, "method", "n", "difference", "low", "high", "p", "p_holm", "detectable"]
    if not rows:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame(rows)
    # Where the sparsities are what is compared, they are the methods: their comparisons go together.
    together = [*within, *(["method"] if at_equal_sparsity else [])]
    groups = table.groupby(together, sort=False).indices.values() if together else [np.arange(len(table))]
    corrected, detectable = np.full(len(table), np.nan), np.full(len(table), np.nan)
    for indices in groups:
        corrected[indices] = holm(table["p"].to_numpy()[indices])
        for i in indices:
            n, spread = int(table["n"].iloc[i]), float(table["spread"].iloc[i])
            detectable[i] = detectable_effect(n, len(indices)) * spread if spread > NO_SPREAD else np.nan
    return table.assign(p_holm=corrected, detectable=detectable)[columns]


@lru_cache
def detectable_effect(n: int, n_comparisons: int = 1, power: float = 0.8) -> float:
    """The smallest mean, in standard deviations, that a two-sided t-test shows with some probability.

    Parameters
    ----------
    n : int
        Differences, at least 2.
    n_comparisons : int
        The test is at the level `ALPHA` over so many, as in the first step of Holm's method.
    power : float
        The probability.
    """
    critical = stats.t.ppf(1 - ALPHA / 2 / n_comparisons, n - 1)

    def missing(shift: Any) -> float:
        return float(stats.nct.sf(critical, n - 1, shift)) - power

    highest = critical
    while missing(highest) < 0:
        highest *= 2
    shift = cast("float", optimize.brentq(missing, 0.0, highest))
    return float(shift / np.sqrt(n))


def differences_from_dense(frame: pd.DataFrame, column: str = "accuracy") -> pd.DataFrame:
    """The difference of every method's networks from the dense network of the same seed.

    Returns
    -------
    DataFrame
        One row a method and sparsity: ``method``, ``sparsity``, ``dense`` (its mean), and the columns of
        `paired_differences`; p-values are corrected over the sparsities of a method.
    """
    named = frame.assign(by_sparsity=frame["sparsity"]).drop(columns="sparsity")
    named = named.rename(columns={"method": "of", "by_sparsity": "method"})
    table = paired_differences(named, 0.0, ("of",), at_equal_sparsity=False, column=column)
    dense = frame[frame["sparsity"] == 0].groupby("method")[column].mean()
    table = table.rename(columns={"method": "sparsity", "of": "method"})
    return table.assign(dense=[float(dense[method]) for method in table["method"]])


def _groups(frame: pd.DataFrame, keys: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The parts of a table with the same values of some columns, and these; without columns, the whole."""
    if not keys:
        yield {}, frame
        return
    for key, group in frame.groupby(keys, sort=False):
        yield dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True)), group


def _test(gaps: np.ndarray) -> dict[str, Any]:
    n = len(gaps)
    mean, low, high = mean_interval(gaps)
    if n < 2:
        return {"n": n, "difference": mean, "low": low, "high": high, "p": np.nan, "spread": 0.0}
    spread = float(gaps.std(ddof=1))
    if spread > NO_SPREAD:
        _, p = np.asarray(stats.ttest_1samp(gaps, 0.0), dtype=float)
    else:
        # Differences that are all the same, as with few test samples, are no estimate of how they scatter.
        p = np.nan if mean else 1.0
    return {"n": n, "difference": mean, "low": low, "high": high, "p": float(p), "spread": spread}


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values corrected for their number (S. Holm, Scandinavian Journal of Statistics 1979); NaN stays NaN."""
    p_values = np.asarray(p_values, dtype=float)
    corrected = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else []
    return corrected


# Words ----------------------------------------------------------------------------------------------------------


def _verdict(differences: pd.DataFrame, study: Study) -> list[str]:
    """A sentence on each method, within each group."""
    sentences = []
    keys = [*study.within] if study.compares_sparsities else [*study.within, "method"]
    if differences.empty:
        return ["There is nothing to compare yet."]
    for values, group in _groups(differences, keys):
        about = ", ".join(str(values[name]) for name in study.within)
        subject = "Light pruning" if study.compares_sparsities else str(values["method"])
        subject = subject + (f" ({about})" if about else "")
        sentences.append(_sentence(subject, group, study))
    return sentences


def _sentence(subject: str, group: pd.DataFrame, study: Study) -> str:
    where = "method" if study.compares_sparsities else "sparsity"
    against = "the dense network" if study.compares_sparsities else study.baseline
    if group["n"].max() < 2:
        return f"{subject}: one seed cannot tell a difference from {against}."
    sure = group[group["p_holm"] < ALPHA]
    better, worse = sure[sure["difference"] > 0], sure[sure["difference"] < 0]
    parts = []
    for found, word, best in ((better, "better", "idxmax"), (worse, "worse", "idxmin")):
        if len(found):
            top = found.loc[getattr(found["difference"], best)()]
            gap, low, high = (f"{100 * top[name]:+.2f}" for name in ("difference", "low", "high"))
            parts.append(
                f"{word} than {against} at {_percentages(found[where])} "
                f"(most at {_percent(top[where])}: {gap} points, 95 % interval {low} to {high})"
            )
    rest = group[~(group["p_holm"] < ALPHA)]
    if len(rest):
        low, high = 100 * rest["detectable"].min(), 100 * rest["detectable"].max()
        limits = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
        other = "elsewhere" if parts else f"from {against} at any sparsity"
        shown = f", where {int(rest['n'].min())} seeds would show one of {limits} points" if np.isfinite(low) else ""
        parts.append(f"no difference to be seen {other}{shown}")
    return f"{subject}: {'; '.join(parts)}."


def _verdict_against_dense(table: pd.DataFrame, column: str) -> list[str]:
    """A sentence on each method: where its networks differ from the dense one."""
    subject, more, less = {
        "accuracy": ("{} against its dense network", "better", "worse"),
        "early_stop_accuracy": (
            "{} against its dense network, both stopped at their lowest held-out loss",
            "better",
            "worse",
        ),
        "early_stop_step": (
            "Updates until {} has its lowest held-out loss, against its dense network",
            "more",
            "fewer",
        ),
    }[column]
    sentences = []
    for values, group in _groups(table, ["method"]):
        if group["n"].max() < 2:
            continue
        parts = []
        for word, sign in ((more, 1), (less, -1)):
            sure = group[(group["p_holm"] < ALPHA) & (group["difference"] * sign > 0)]
            found = [f"{_percent(row['sparsity'])} ({_gap(row, column)})" for row in sure.to_dict("records")]
            if found:
                parts.append(f"{word} at {', '.join(found)}")
        rest = group[~(group["p_holm"] < ALPHA)]
        if len(rest):
            where = f"at {_percentages(rest['sparsity'])}" if parts else "at any sparsity"
            parts.append(f"no difference to be seen {where}")
        sentences.append(f"{subject.format(values['method'])}: {'; '.join(parts)}.")
    return sentences


def _gap(row: Mapping[Any, Any], column: str) -> str:
    if column.endswith("accuracy"):
        return f"{100 * row['difference']:+.2f} points"
    return f"{row['dense'] + row['difference']:,.0f} instead of {row['dense']:,.0f}"


def _percent(value: Any) -> str:
    return f"{100 * float(value):.3g} %"


def _percentages(values: pd.Series) -> str:
    return ", ".join(f"{100 * float(value):.3g}" for value in values) + " %"


def _is_original(study: Study) -> bool:
    return study.baseline == "weight"


def _verdict_of_original(frame: pd.DataFrame, knees: pd.DataFrame) -> list[str]:
    sentences = []
    for granularity, curve in AUTHORS_CURVES.items():
        mine = frame[frame["method"] == granularity].groupby("sparsity")["accuracy"].mean()
        both = [sparsity for sparsity in curve if sparsity in mine.index]
        found = knees.loc[knees["method"] == granularity, "knee"]
        if not both or not len(found):
            continue
        gaps = [abs(mine[s] - curve[s]) for s in both]
        theirs = knee(list(curve), list(curve.values()))
        sentences.append(
            f"Pruning by {granularity} has lost two points at {100 * found.iloc[0]:.1f} % (the author's curve at "
            f"{100 * theirs:.1f} %), and lies {100 * np.mean(gaps):.1f} points from the author's curve in the mean."
        )
    return sentences


def _knees(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    keys = [*study.within] if study.compares_sparsities else [*study.within, "method"]
    rows = []
    for values, group in _groups(frame, keys):
        rows.append({**values, "knee": knee(group["sparsity"].to_numpy(), group["accuracy"].to_numpy(dtype=float))})
    return pd.DataFrame(rows, columns=[*keys, "knee"])
