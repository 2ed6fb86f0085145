"""Verdicts: sentences from constructed tables of every kind."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators.presets import Preset
from prunelab.estimators.studies.catalogue import AUTHORS_CURVES, STUDIES, Study
from prunelab.estimators.studies.comparisons import differences_from_dense, paired_differences
from prunelab.estimators.studies.paired import confidence_interval, detectable_effect, holm, p_value
from prunelab.estimators.studies.verdicts import analyse
from scipy import stats

STUDY = Study("?", {"": Preset("", "", "digits")}, baseline="a")


def table(effects, n_seeds=8, scatter=0.01, seed=0, sparsities=(0.0, 0.5, 0.9)):
    """Accuracies of methods with known differences from the first, seed by seed."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n_seeds):
        network = rng.normal(0.8, 0.05)  # seeds differ much more than methods do
        for sparsity in sparsities:
            for method, effect in effects.items():
                noise = rng.normal(0, scatter) if sparsity else 0.0
                accuracy = network + (effect if sparsity else 0.0) + noise
                rows.append({"seed": number, "sparsity": sparsity, "method": method, "accuracy": accuracy})
    return pd.DataFrame(rows)


def from_gaps(gaps, sparsity=0.9):
    """A table in which b differs from a by `gaps`, one a seed."""
    rows = []
    for seed, gap in enumerate(gaps):
        rows.append({"seed": seed, "sparsity": sparsity, "method": "a", "accuracy": 0.9})
        rows.append({"seed": seed, "sparsity": sparsity, "method": "b", "accuracy": 0.9 + gap})
    return pd.DataFrame(rows)


def verdict(frame, study=STUDY):
    return analyse(study, frame).verdict


# Comparisons ----------------------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed():
    frame = table({"a": 0.0, "b": -0.03, "c": 0.001})
    found = paired_differences(frame, "a")
    assert set(found["method"]) == {"b", "c"}
    assert set(found["sparsity"]) == {0.5, 0.9}  # at 0 there is nothing to compare
    for row in found.to_dict("records"):
        both = frame[frame["sparsity"] == row["sparsity"]].pivot(index="seed", columns="method", values="accuracy")
        gaps = (both[row["method"]] - both["a"]).to_numpy()
        assert (row["n"], row["missing"]) == (8, ())
        assert row["difference"] == pytest.approx(gaps.mean())
        assert row["spread"] == pytest.approx(gaps.std(ddof=1))
        assert (row["low"], row["high"]) == pytest.approx(confidence_interval(gaps))
        assert row["p"] == pytest.approx(p_value(gaps))
        # A symmetric sample has Student's interval, wider by the factor for eight seeds; any has at least that.
        low, high = stats.t.interval(0.95, 7, loc=gaps.mean(), scale=stats.sem(gaps))
        assert row["low"] < low < high < row["high"]
    np.testing.assert_allclose(found["p_holm"], holm(found["p"].to_numpy()))


def test_the_correction_is_over_the_whole_study():
    frame = table({"a": 0.0, **dict.fromkeys("bcdef", 0.0)})
    frame["early_stop_step"] = 100 * frame["accuracy"] ** 2
    answer = analyse(dataclasses.replace(STUDY, against_dense=("accuracy", "early_stop_step")), frame)
    tables = [answer.differences, *answer.against_dense.values()]
    assert [len(found) for found in tables] == [10, 12, 12]
    p_values = np.concatenate([found["p"] for found in tables])
    np.testing.assert_allclose(np.concatenate([found["p_holm"] for found in tables]), holm(p_values))
    assert "all 34 tests" in answer.test
    scale = detectable_effect(8, 34)
    np.testing.assert_allclose(answer.differences["detectable"], scale * answer.differences["spread"])


def test_seeds_that_one_of_two_lacks_are_left_out_and_named():
    frame = table({"a": 0.0, "b": 0.1})
    frame = frame[~((frame["method"] == "a") & (frame["seed"] < 4))]
    frame.loc[(frame["method"] == "b") & (frame["seed"] == 7), "accuracy"] = np.nan
    found = paired_differences(frame, "a")
    assert set(found["n"]) == {3}
    assert set(found["missing"]) == {(0, 1, 2, 3, 7)}
    assert paired_differences(frame[frame["method"] == "a"], "a").empty


def test_a_seed_that_was_computed_twice_counts_once():
    frame = table({"a": 0.0, "b": 0.1})
    pd.testing.assert_frame_equal(paired_differences(pd.concat([frame, frame]), "a"), paired_differences(frame, "a"))


def test_networks_are_compared_with_the_dense_one_of_their_seed():
    effects = {"a": -0.03, "b": 0.02}
    frame = table(effects)
    found = differences_from_dense(frame)
    assert [(row.method, row.sparsity) for row in found.itertuples()] == [(m, s) for s in (0.5, 0.9) for m in effects]
    for row in found.itertuples():
        mine, dense = (
            frame[(frame["method"] == row.method) & (frame["sparsity"] == sparsity)]["accuracy"].to_numpy()
            for sparsity in (row.sparsity, 0.0)
        )
        assert row.dense == pytest.approx(dense.mean())
        assert row.difference == pytest.approx((mine - dense).mean())
        assert row.p == pytest.approx(p_value(mine - dense))


# Verdicts -------------------------------------------------------------------------------------------------------


def test_both_signs_and_none():
    better, worse, same = verdict(table({"a": 0.0, "b": 0.05, "c": -0.05, "d": 0.0}))
    assert re.match(
        r"b: better than a at 50, 90 % \(most at \d0 %: \+\d\.\d\d points, 95 % interval \+.* to \+.*, n = 8\)", better
    )
    assert re.match(
        r"c: worse than a at 50, 90 % \(most at \d0 %: -\d\.\d\d points, 95 % interval -.* to -.*, n = 8\)", worse
    )
    assert re.match(
        r"d: no difference from a found at any sparsity \(.* points, 95 % intervals within -.* to \+.*, n = 8, "
        "and about .* would be detected four times in five",
        same,
    )


def test_an_interval_that_excludes_zero_is_never_no_difference():
    """Significant alone, but not after the correction for twenty others."""
    gaps = np.array([0.010, 0.012, 0.014, 0.016, 0.004, 0.018, 0.011, 0.021])
    assert 0.05 / 20 < p_value(gaps - 0.003) < 0.05
    frame = pd.concat([from_gaps(gaps - 0.003), table({"a": 0.0, **{f"m{i}": 0.0 for i in range(10)}})])
    sentence = next(s for s in verdict(frame) if s.startswith("b:"))
    assert "no difference" not in sentence
    assert re.search(
        r"perhaps better than a at 90 % \(\+\d.*the interval excludes zero, but not after the correction", sentence
    )


def test_the_same_difference_in_every_seed_is_reported_as_what_it_is():
    (sentence,) = verdict(from_gaps([-0.75] * 5))
    assert sentence.startswith("b: -75.00 points at 90 % in every one of 5 seeds (without scatter")
    (sentence,) = verdict(from_gaps([0.0] * 5))
    assert sentence == "b: identical at 90 % in all seeds (n = 5)."


def test_missing_seeds_are_mentioned():
    frame = table({"a": 0.0, "b": 0.05})
    frame = frame[~((frame["method"] == "b") & frame["seed"].isin([2, 5]) & (frame["sparsity"] == 0.9))]
    sentences = verdict(frame)
    assert "n = 6" in sentences[0] or "n = 8" in sentences[0]
    assert sentences[-1] == "Missing: seeds 2, 5 of b or of a at 90 %."
    frame.loc[(frame["method"] == "a") & (frame["seed"] == 1), "accuracy"] = np.nan
    assert "Missing: seed 1 of b or of a at 50 %." in verdict(frame)
    assert "Missing: seeds 1, 2, 5 of b or of a at 90 %." in verdict(frame)


def test_missing_methods_are_mentioned():
    frame = table({"b": 0.05, "c": 0.0})
    assert "Missing: there are no results of a, with which the others are compared." in verdict(frame)
    assert verdict(frame)[0] == "b: no seed in common at 50, 90 %."
    study = dataclasses.replace(STUDY, parts={"one": STUDY.parts[""], "two": STUDY.parts[""]})
    assert "Missing: there are no results of two." in verdict(table({"a": 0.0, "b": 0.0}).assign(part="one"), study)


def test_two_seeds_allow_no_test():
    first, last = verdict(table({"a": 0.0, "b": 0.5}, n_seeds=2))
    assert re.match(
        r"b: \+\d\d\.\d\d at 50 %, \+\d\d\.\d\d at 90 % \(points, n = 2: no interval and no test\)\.", first
    )
    assert last.startswith("2 seeds allow no test")


def test_few_seeds_are_no_evidence_of_absence():
    first, last = verdict(table({"a": 0.0, "b": 0.0}, n_seeds=3))
    assert "would be detected" not in first
    assert re.match(r"3 seeds show little: among 2 tests, .* from \d+ standard errors on", last)


def test_one_seed_has_the_wilson_interval_of_its_test_accuracy():
    frame = table({"a": 0.0, "b": 0.5}, n_seeds=1)
    assert verdict(frame)[-1] == "One seed: no difference between methods can be tested."
    frame["accuracy"] = 0.9
    *_, last = verdict(frame.assign(test_samples=1000))
    low, high = stats.binomtest(900, 1000).proportion_ci(method="wilson")
    assert f"a at 90 % 90.00 % ({100 * low:.2f} to {100 * high:.2f})" in last
    assert "95 % Wilson interval" in last


def test_one_point_and_nothing():
    assert verdict(table({"a": 0.0}, sparsities=(0.9,))) == ["There is nothing to compare yet."]
    assert verdict(table({"a": 0.0, "b": 0.1}, sparsities=(0.9,)))[0].startswith("b: better than a at 90 % (+")


def test_sparsities_can_be_the_methods():
    study = dataclasses.replace(STUDY, baseline="0", compares_sparsities=True)
    frame = table({"a": -0.05})
    frame["method"] = [f"{s:g}" for s in frame["sparsity"]]
    answer = analyse(study, frame)
    assert list(answer.differences["method"]) == ["0.5", "0.9"]
    (sentence,) = answer.verdict
    assert sentence.startswith("Pruning: worse than the unpruned network at 50, 90 %")


def test_different_budgets_are_stated():
    frame = table({"a": 0.0, "b": 0.0, "c": 0.0})
    frame["updates"] = frame["method"].map({"a": 18_000, "b": 3_000, "c": 18_000})
    b, c = verdict(frame)
    assert b.startswith("b [3,000 updates a network against 18,000]: ")
    assert c.startswith("c: ")


def test_the_original_is_compared_with_the_author_on_his_data_only():
    frame = pd.DataFrame(
        [
            {"seed": seed, "sparsity": s, "accuracy": accuracy + seed / 1000, "method": granularity}
            for granularity, curve in AUTHORS_CURVES.items()
            for s, accuracy in curve.items()
            for seed in (-1, 0, 1)
        ]
    )
    weight, unit, *_ = verdict(frame.assign(dataset="mnist"), STUDIES["original"])
    assert "78.4 % (the author's curve at 78.4 %), and is 0.0 points" in weight
    assert "67.6 % (the author's curve at 67.6 %), and is 0.0 points" in unit
    for other in (frame, frame.assign(dataset="digits")):
        weight, unit, *_ = verdict(other, STUDIES["original"])
        assert weight == "Pruning by weight has lost two points at 78.4 %."
        assert unit == "Pruning by unit has lost two points at 67.6 %."


def test_a_curve_may_have_no_knee():
    frame = table({"weight": 0.0, "unit": -0.5}, scatter=0.0)
    weight, *_ = verdict(frame, STUDIES["original"])
    assert weight == "Pruning by weight loses less than two points up to 90 %."


def test_where_the_loss_is_lowest_is_given_in_updates():
    frame = table({"a": 0.0}, n_seeds=6)
    rng = np.random.default_rng(0)
    frame["early_stop_step"] = [5000 - 2000 * s + 100 * rng.normal() for s in frame["sparsity"]]
    sentence = verdict(frame, dataclasses.replace(STUDY, against_dense=("early_stop_step",)))[-1]
    assert sentence.startswith(
        "Updates until a has its lowest held-out loss, against its dense network: fewer at 50, 90 % (most at 90 %: -1,"
    )
    assert "updates, 95 % interval -" in sentence


GAPS = st.lists(st.one_of(st.sampled_from([0.0, -0.75, 0.01, np.nan]), st.floats(-0.9, 0.1)), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.lists(GAPS, min_size=1, max_size=4), st.booleans())
def test_no_table_gives_an_impossible_sentence(columns, knows_the_test):
    frame = pd.concat(
        [from_gaps(gaps, sparsity) for gaps, sparsity in zip(columns, (0.5, 0.8, 0.9, 0.99), strict=False)]
    )
    frame = frame.assign(test_samples=1000) if knows_the_test else frame
    answer = analyse(STUDY, frame)
    text = "\n".join(answer.verdict)
    assert "nan" not in text.lower()
    assert "inf" not in text.lower()
    for number in re.findall(r"[-+]?\d[\d,]*\.\d+", text):
        assert abs(float(number.replace(",", ""))) <= 100
    for row in answer.differences.to_dict("records"):
        found = f"{100 * row['sparsity']:.4g}"
        for clause in answer.verdict[0].split("; "):
            if clause.startswith(("no difference", "b: no difference")) and re.search(
                rf"\b{found}\b.* %", clause.split("(")[0]
            ):
                assert row["low"] <= 0 <= row["high"]
        if row["missing"]:
            assert "Missing: seed" in text


def test_every_comparison_is_in_the_verdict_once():
    """One sparsity of each kind."""
    rng = np.random.default_rng(0)
    normal = rng.normal(0, 0.01, 8)
    normal -= normal.mean()
    gaps = {0.1: normal + 0.1, 0.2: normal - 0.1, 0.3: normal + 0.009, 0.4: normal, 0.5: [0.25] * 8, 0.6: [0.0] * 8}
    gaps |= {0.7: [*normal[:2], *[np.nan] * 6], 0.8: [np.nan] * 8}
    frame = pd.concat([from_gaps(of_sparsity, sparsity) for sparsity, of_sparsity in gaps.items()])
    sentence, *_ = verdict(frame)
    clauses = sentence.removeprefix("b: ").split("; ")
    starts = [
        "better than a at 10 %",
        "worse than a at 20 %",
        "perhaps better than a at 30 %",
        "+25.00 points at 50 %",
        "identical at 60 %",
        "no difference from a found at 40 %",
    ]
    assert [clause[: len(start)] for clause, start in zip(clauses, starts, strict=False)] == starts
    assert "at 70 % (points, n = 2" in sentence
    assert clauses[-1] == "no seed in common at 80 %."
