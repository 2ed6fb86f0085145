"""From the table of a study to its answer: comparisons, and sentences that state estimate, interval and n.

Everything here is a pure function of the table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .catalogue import AUTHORS_CURVES
from .comparisons import correct, differences_from_dense, groups_of, knees, paired_differences
from .paired import ALPHA, MIN_PAIRS, MIN_PAIRS_FOR_POWER, NAME, NO_SPREAD, critical_value, wilson_interval
from .shapes import on_shapes
from .statistics import knee

if TYPE_CHECKING:
    import pandas as pd

    from .catalogue import Study


@dataclass(frozen=True)
class Answer:
    """What a study found.

    Attributes
    ----------
    frame : DataFrame
        One row a point: the columns of a sparsity path, the ways of pruning, ``part`` and ``method``.
    differences : DataFrame
        One row a comparison; see `prunelab.estimators.studies.comparisons.paired_differences`.
    knees : DataFrame
        The knee of every curve; see `prunelab.estimators.studies.statistics.knee`.
    against_dense : dict of str to DataFrame
        For each column of `study.against_dense`, the differences of every method from the dense network; see
        `prunelab.estimators.studies.comparisons.differences_from_dense`.
    test : str
        The statistical procedure.
    verdict : list of str
        Sentences.
    """

    frame: pd.DataFrame
    differences: pd.DataFrame
    knees: pd.DataFrame
    against_dense: dict[str, pd.DataFrame]
    test: str
    verdict: list[str]


def analyse(study: Study, frame: pd.DataFrame) -> Answer:
    """Compare every method of a study with its baseline.

    Parameters
    ----------
    study : Study
    frame : DataFrame
        With ``seed``, ``sparsity``, ``accuracy``, ``method``, and the columns of `study.within`. Used where present:
        ``part``, ``dataset`` (the author's curves are of MNIST), ``updates`` (the budgets) and ``test_samples`` (for
        the Wilson interval of a single seed).
    """
    differences = paired_differences(frame, study.baseline, study.within, not study.compares_sparsities)
    against_dense = {column: differences_from_dense(frame, column) for column in study.against_dense}
    if not differences.empty:
        differences, *corrected = correct([differences, *against_dense.values()])
        against_dense = dict(zip(against_dense, corrected, strict=True))
    n_tests = sum(int(table["p"].notna().sum()) for table in (differences, *against_dense.values()))
    curves = knees(frame, [*study.within] if study.compares_sparsities else [*study.within, "method"])
    verdict = _on_the_original(frame, curves) if study.repeats_original else []
    verdict += on_shapes(frame, differences, study.baseline) if study.reports_shapes else []
    verdict += _on_methods(differences, frame, study, n_tests)
    for column, table in against_dense.items():
        verdict += _on_dense(table, _MEASURES[column], n_tests)
    verdict += _on_missing(differences, frame, study)
    verdict += _on_few_seeds(differences, frame, n_tests)
    test = f"{NAME}; corrected by Holm's method over all {n_tests} tests of the study" if n_tests else "no test"
    return Answer(frame, differences, curves, against_dense, test, verdict)


# Sentences ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measure:
    """A column in words."""

    unit: str
    more: str
    less: str
    scale: float = 1.0
    digits: int = 0
    largest: float = np.inf
    against_dense: str = ""

    def signed(self, value: float) -> str:
        return f"{self.scale * value:+,.{self.digits}f}"

    def absolute(self, value: float) -> str:
        return f"{self.scale * value:,.{self.digits}f}"


_ACCURACY = _Measure("points", "better", "worse", 100, 2, 1.0, "{} against its dense network")

_MEASURES = {
    "accuracy": _ACCURACY,
    "early_stop_accuracy": replace(
        _ACCURACY, against_dense="{} against its dense network, both stopped at their lowest held-out loss"
    ),
    "early_stop_step": _Measure(
        "updates",
        "more",
        "fewer",
        against_dense="Updates until {} has its lowest held-out loss, against its dense network",
    ),
}


def _on_methods(differences: pd.DataFrame, frame: pd.DataFrame, study: Study, n_tests: int) -> list[str]:
    """A sentence on each method, within each group."""
    if differences.empty:
        return ["There is nothing to compare yet."]
    sentences = []
    keys = [*study.within] if study.compares_sparsities else [*study.within, "method"]
    against = "the unpruned network" if study.compares_sparsities else study.baseline
    for values, group in groups_of(differences, keys):
        about = ", ".join(str(values[name]) for name in study.within)
        subject = "Pruning" if study.compares_sparsities else str(values["method"])
        subject += f" ({about})" if about else ""
        if not study.compares_sparsities:
            subject += _budgets(frame, study, values)
        where = "method" if study.compares_sparsities else "sparsity"
        compared = _compared(group, where, f" than {against}", f" from {against}", _ACCURACY, n_tests)
        sentences.append(f"{subject}: {compared}.")
    return sentences


def _on_dense(table: pd.DataFrame, measure: _Measure, n_tests: int) -> list[str]:
    """A sentence on each method: where its networks differ from the dense one."""
    return [
        f"{measure.against_dense.format(values['method'])}: {_compared(group, 'sparsity', '', '', measure, n_tests)}."
        for values, group in groups_of(table, ["method"])
    ]


def _compared(group: pd.DataFrame, where: str, than: str, of: str, measure: _Measure, n_tests: int) -> str:
    """The comparisons of a method in words, by what they show: each is in exactly one clause."""
    gaps, spread, n = (group[name].astype(float) for name in ("difference", "spread", "n"))
    is_sure = group["p_holm"].astype(float) < ALPHA
    excludes_zero = (group["low"].astype(float) > 0) | (group["high"].astype(float) < 0)
    is_tested = group["low"].astype(float).notna()
    is_identical = (n >= MIN_PAIRS) & (spread <= NO_SPREAD)
    is_zero = gaps.abs() <= NO_SPREAD
    clauses = []
    for is_found, caveat in (
        (is_sure, ""),
        (
            excludes_zero & ~is_sure,
            f": the interval excludes zero, but not after the correction for {n_tests} tests",
        ),
    ):
        for sign, word in ((1, measure.more), (-1, measure.less)):
            found = group[is_found & (sign * gaps > 0)]
            if len(found):
                perhaps = "perhaps " if caveat else ""
                extreme = _extreme(found, where, measure)
                clauses.append(f"{perhaps}{word}{than} at {_places(found, where)} ({extreme}{caveat})")
    for row in group[is_identical & ~is_zero].to_dict("records"):
        clauses.append(
            f"{measure.signed(row['difference'])} {measure.unit} at {_percent(row[where])} in every one of {row['n']} "
            "seeds (without scatter there is neither an interval nor a test)"
        )
    found = group[is_identical & is_zero]
    if len(found):
        clauses.append(f"identical at {_places(found, where)} in all seeds ({_counts(found)})")
    found = group[is_tested & ~is_sure & ~excludes_zero]
    if len(found):
        place = "any sparsity" if len(found) == len(group) > 1 else _places(found, where)
        clauses.append(f"no difference{of} found at {place} ({_within(found, measure)})")
    found = group[~is_tested & ~is_identical & (n > 0)]
    if len(found):
        estimates = [
            f"{measure.signed(gap)} at {_percent(at)}"
            for gap, at in zip(found["difference"], found[where], strict=True)
        ]
        clauses.append(f"{', '.join(estimates)} ({measure.unit}, {_counts(found)}: no interval and no test)")
    found = group[n == 0]
    if len(found):
        clauses.append(f"no seed in common at {_places(found, where)}")
    return "; ".join(clauses)


def _extreme(found: pd.DataFrame, where: str, measure: _Measure) -> str:
    """The comparison with the largest difference."""
    row = found.iloc[int(found["difference"].abs().to_numpy().argmax())]
    place = f"most at {_percent(row[where])}: " if len(found) > 1 else ""
    interval = f"95 % interval {measure.signed(row['low'])} to {measure.signed(row['high'])}"
    return f"{place}{measure.signed(row['difference'])} {measure.unit}, {interval}, n = {row['n']}"


def _within(found: pd.DataFrame, measure: _Measure) -> str:
    """Estimates and intervals of several comparisons, and what their seeds would detect."""
    estimates = _range(*(measure.signed(value) for value in (found["difference"].min(), found["difference"].max())))
    word = "intervals within" if len(found) > 1 else "interval"
    text = (
        f"{estimates} {measure.unit}, 95 % {word} {measure.signed(found['low'].min())} to "
        f"{measure.signed(found['high'].max())}, {_counts(found)}"
    )
    detectable = found["detectable"].to_numpy(dtype=float)
    if np.isfinite(detectable).all() and detectable.max() <= measure.largest:
        limits = _range(measure.absolute(detectable.min()), measure.absolute(detectable.max()))
        text += f", and about {limits} would be detected four times in five"
    return text


def _budgets(frame: pd.DataFrame, study: Study, values: dict[Any, Any]) -> str:
    """The updates that a method's networks and those of the baseline received, where these differ."""
    if "updates" not in frame:
        return ""
    for name in study.within:
        frame = frame[frame[name] == values[name]]
    means = frame[frame["sparsity"] > 0].groupby(["method", "sparsity"])["updates"].mean().dropna()
    known = means.index.get_level_values("method")
    if not {values["method"], study.baseline} <= set(known):
        return ""
    mine, base = means[values["method"]], means[study.baseline]
    base = base.reindex(mine.index).dropna()
    mine = mine.reindex(base.index)
    if mine.empty or np.allclose(mine, base, rtol=0.01):
        return ""
    texts = [_range(f"{updates.min():,.0f}", f"{updates.max():,.0f}") for updates in (mine, base)]
    return f" [{texts[0]} updates a network against {texts[1]}]"


def _on_the_original(frame: pd.DataFrame, curves: pd.DataFrame) -> list[str]:
    """The knees, and the distance from the author's curves where the data are his."""
    is_mnist = "dataset" in frame and set(frame["dataset"]) == {"mnist"}
    sentences = []
    for row in curves.to_dict("records"):
        means = frame[frame["method"] == row["method"]].groupby("sparsity")["accuracy"].mean().dropna()
        if len(means) < 2:
            continue
        lost = f"has lost two points at {100 * row['knee']:.1f} %"
        if not np.isfinite(row["knee"]):
            lost = f"loses less than two points up to {_percent(means.index.max())}"
        sentence = f"Pruning by {row['method']} {lost}"
        curve = AUTHORS_CURVES.get(row["method"], {})
        both = [sparsity for sparsity in curve if sparsity in means.index]
        if is_mnist and both:
            theirs = knee(list(curve), list(curve.values()))
            distance = np.mean([abs(means[sparsity] - curve[sparsity]) for sparsity in both])
            sentence += (
                f" (the author's curve at {100 * theirs:.1f} %), and is {100 * distance:.1f} points from the "
                "author's curve in the mean"
            )
        sentences.append(sentence + ".")
    return sentences


def _on_missing(differences: pd.DataFrame, frame: pd.DataFrame, study: Study) -> list[str]:
    """Which parts, methods and seeds have no results."""
    sentences = []
    parts = [part for part in study.parts if "part" in frame and part not in set(frame["part"])]
    if parts:
        sentences.append(f"Missing: there are no results of {', '.join(parts)}.")
    baseline = "the unpruned network" if study.compares_sparsities else study.baseline
    if study.baseline not in set(frame["method"]):
        sentences.append(f"Missing: there are no results of {baseline}, with which the others are compared.")
    keys = [*study.within, *([] if study.compares_sparsities else ["method"])]
    where = "method" if study.compares_sparsities else "sparsity"
    for values, group in groups_of(differences, [*keys, "missing"]) if not differences.empty else ():
        if values["missing"]:
            subject = ", ".join(str(values[key]) for key in keys) or "pruning"
            seeds = ", ".join(str(seed) for seed in values["missing"])
            several = "s" if len(values["missing"]) > 1 else ""
            sentences.append(
                f"Missing: seed{several} {seeds} of {subject} or of {baseline} at {_places(group, where)}."
            )
    return sentences


def _on_few_seeds(differences: pd.DataFrame, frame: pd.DataFrame, n_tests: int) -> list[str]:
    """What so few seeds cannot show."""
    if frame["seed"].nunique() == 1:
        return ["One seed: no difference between methods can be tested.", *_wilson_intervals(frame)]
    if differences.empty:
        return []
    n = int(differences["n"].max())
    if n < MIN_PAIRS:
        return [
            f"{n} seeds allow no test: at least {MIN_PAIRS} are needed, and {MIN_PAIRS_FOR_POWER} or more advisable."
        ]
    if n < MIN_PAIRS_FOR_POWER and n_tests:
        factor = float(critical_value(n, ALPHA / n_tests))
        return [
            f"{n} seeds show little: among {n_tests} tests, a difference counts only from {factor:.0f} standard errors "
            "on, and what is not found may well exist. Run more seeds."
        ]
    return []


def _wilson_intervals(frame: pd.DataFrame) -> list[str]:
    """The accuracies of single networks, with the intervals that the size of the test set allows."""
    if "test_samples" not in frame:
        return []
    known = frame.dropna(subset=["accuracy", "test_samples"])
    texts = []
    for values, group in groups_of(known, ["method"]):
        row = group.sort_values("sparsity").iloc[-1]
        low, high = (f"{100 * bound:.2f}" for bound in wilson_interval(row["accuracy"], row["test_samples"]))
        at = _percent(row["sparsity"])
        texts.append(f"{values['method']} at {at} {100 * row['accuracy']:.2f} % ({low} to {high})")
    if not texts:
        return []
    what = "Test accuracy of these single networks, with its 95 % Wilson interval, which knows nothing of other seeds"
    return [f"{what}: {'; '.join(texts)}."]


def _counts(found: pd.DataFrame) -> str:
    return f"n = {_range(str(found['n'].min()), str(found['n'].max()))}"


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _percent(value: Any) -> str:
    return f"{100 * float(value):.4g} %"


def _places(found: pd.DataFrame, where: str) -> str:
    return ", ".join(f"{100 * float(value):.4g}" for value in found[where]) + " %"
