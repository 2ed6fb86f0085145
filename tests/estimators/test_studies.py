"""Studies: the statistics held against scipy and hand-made tables, and every design run as it stands."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from prunelab.estimators.parameters import check_value
from prunelab.estimators.presets import Preset, variants_of
from prunelab.estimators.studies.catalogue import AUTHORS_CURVES, STUDIES, Study
from prunelab.estimators.studies.run import label_rows, run_study
from prunelab.estimators.studies.verdicts import (
    analyse,
    detectable_effect,
    differences_from_dense,
    holm,
    method_names,
    paired_differences,
)
from scipy import stats


def table(effects, n_seeds=8, scatter=0.01, seed=0):
    """Accuracies of methods with known differences from the first, seed by seed."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n_seeds):
        network = rng.normal(0.9, 0.05)  # seeds differ much more than methods do
        for sparsity in (0.0, 0.5, 0.9):
            for method, effect in effects.items():
                noise = rng.normal(0, scatter) if sparsity else 0.0
                accuracy = network + (effect if sparsity else 0.0) + noise
                rows.append({"seed": number, "sparsity": sparsity, "method": method, "accuracy": accuracy})
    return pd.DataFrame(rows)


def test_paired_differences_are_scipy_s_paired_t_test():
    frame = table({"a": 0.0, "b": -0.03, "c": 0.001})
    found = paired_differences(frame, "a")
    assert set(found["method"]) == {"b", "c"}
    assert set(found["sparsity"]) == {0.5, 0.9}  # at 0 there is nothing to compare
    for row in found.to_dict("records"):
        both = frame[frame["sparsity"] == row["sparsity"]].pivot(index="seed", columns="method", values="accuracy")
        expected = stats.ttest_rel(both[row["method"]], both["a"])
        assert row["difference"] == pytest.approx((both[row["method"]] - both["a"]).mean())
        assert row["p"] == pytest.approx(expected.pvalue)
        low, high = expected.confidence_interval()
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert row["n"] == 8
    for _, group in found.groupby("method"):
        np.testing.assert_allclose(group["p_holm"], holm(group["p"].to_numpy()))


def test_seeds_that_the_baseline_lacks_are_left_out():
    frame = table({"a": 0.0, "b": 0.1})
    frame = frame[~((frame["method"] == "a") & (frame["seed"] < 5))]
    assert set(paired_differences(frame, "a")["n"]) == {3}
    assert paired_differences(frame[frame["method"] == "a"], "a").empty


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, np.nan, 0.9])), [1.0, np.nan, 1.0])
    assert len(holm(np.array([]))) == 0


@pytest.mark.parametrize("n", [3, 12])
@pytest.mark.parametrize("n_comparisons", [1, 4])
def test_the_detectable_difference_is_found_four_times_in_five(n, n_comparisons):
    """Also by the strictest step of the correction: among others that are none."""
    rng = np.random.default_rng(0)
    effect = detectable_effect(n, n_comparisons)
    seen = []
    for _ in range(1000):
        p_values = [stats.ttest_1samp(rng.normal(effect * (i == 0), 1, n), 0).pvalue for i in range(n_comparisons)]
        seen.append(holm(np.array(p_values))[0] < 0.05)
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


def test_the_detectable_difference_goes_with_the_scattering():
    frame = table({"a": 0.0, "b": 0.0}, n_seeds=12, scatter=0.01)
    differences = paired_differences(frame, "a")
    for row in differences.to_dict("records"):
        at = frame[frame["sparsity"] == row["sparsity"]].pivot(index="seed", columns="method", values="accuracy")
        spread = (at["b"] - at["a"]).std(ddof=1)
        assert row["detectable"] == pytest.approx(detectable_effect(12, len(differences)) * spread)
    same = paired_differences(table({"a": 0.0, "b": 0.0}, n_seeds=12, scatter=0.0), "a")
    assert same["detectable"].isna().all()
    (sentence,) = analyse(STUDY, table({"a": 0.0, "b": 0.0}, n_seeds=12, scatter=0.0)).verdict
    assert sentence.endswith("no difference to be seen from a at any sparsity.")


STUDY = Study("?", {"": Preset("", "", "digits")}, baseline="a")


def test_the_verdict_says_what_the_figures_say():
    better, worse, same = analyse(STUDY, table({"a": 0.0, "b": 0.05, "c": -0.05, "d": 0.0})).verdict
    assert better.startswith("b: better than a at 50, 90 %")
    assert worse.startswith("c: worse than a at 50, 90 %")
    assert "no difference to be seen from a" in same
    assert "8 seeds" in same


def test_one_seed_is_no_evidence():
    (sentence,) = analyse(STUDY, table({"a": 0.0, "b": 0.5}, n_seeds=1)).verdict
    assert "one seed cannot tell" in sentence


def test_sparsities_can_be_the_methods():
    study = Study("?", {"": Preset("", "", "digits")}, baseline="0", compares_sparsities=True)
    frame = table({"a": -0.05})
    frame["method"] = [f"{s:g}" for s in frame["sparsity"]]
    answer = analyse(study, frame)
    assert list(answer.differences["method"]) == ["0.5", "0.9"]
    (sentence,) = answer.verdict
    assert sentence.startswith("Light pruning: worse than the dense network at 50, 90 %")


def test_methods_are_named_by_what_varies():
    rows = [{"criterion": "magnitude", "granularity": "unit", "scope": "layer", "sparsity": 0.5}]
    ways = {"criterion": ("magnitude", "random"), "granularity": ("weight", "unit"), "scope": ("layer",)}
    assert method_names(rows, ways, "", dataclasses.replace(STUDY, within=("granularity",))) == ["magnitude"]
    assert method_names(rows, ways, "after", STUDY) == ["after: magnitude, unit"]
    assert method_names(rows, {}, "after", STUDY) == ["after"]


@pytest.mark.parametrize("name", STUDIES)
def test_designs_describe_what_can_run(name):
    study = STUDIES[name]
    methods = set()
    for label, preset in study.parts.items():
        for parameter, value in preset.parameters.items():
            check_value(parameter, value)
        assert label not in study.counts_as or preset.sparsities == (0.0,)
        for way, values in preset.ways.items():
            for value in values:
                check_value(way, value)
        rows = [{**way, "sparsity": s} for way in variants_of(preset.ways) for s in preset.sparsities]
        methods |= set(method_names(rows, preset.ways, label, study))
    assert study.baseline in methods
    assert len(methods) > 1


def test_networks_are_compared_with_the_dense_one_of_their_seed():
    effects = {"a": -0.03, "b": 0.02}
    frame = table(effects)
    frame["early_stop_step"] = [100.0 * (10 + row.seed) - (300 if row.sparsity else 0) for row in frame.itertuples()]
    found = differences_from_dense(frame)
    assert [(row.method, row.sparsity) for row in found.itertuples()] == [(m, s) for s in (0.5, 0.9) for m in effects]
    for row in found.itertuples():
        mine, dense = (
            frame[(frame["method"] == row.method) & (frame["sparsity"] == sparsity)]["accuracy"].to_numpy()
            for sparsity in (row.sparsity, 0.0)
        )
        assert row.dense == pytest.approx(dense.mean())
        assert row.difference == pytest.approx((mine - dense).mean())
        assert row.p == pytest.approx(stats.ttest_rel(mine, dense).pvalue)
    frame["early_stop_accuracy"] = frame["accuracy"] + np.where(frame["sparsity"] > 0, 0.02, 0.0)
    study = dataclasses.replace(STUDY, against_dense=("accuracy", "early_stop_accuracy", "early_stop_step"))
    answer = analyse(study, frame)
    assert set(answer.against_dense) == {"accuracy", "early_stop_accuracy", "early_stop_step"}
    gained = answer.against_dense["early_stop_accuracy"]["difference"] - answer.against_dense["accuracy"]["difference"]
    assert gained.tolist() == pytest.approx([0.02] * 4)
    a, b = answer.verdict[1:3]
    assert a.startswith("a against its dense network: worse at 50 % (-")
    assert b.startswith("b against its dense network: better at 50 % (+")
    assert answer.against_dense["early_stop_step"]["difference"].tolist() == [-300.0] * 4


def test_where_the_loss_is_lowest_is_told_in_updates():
    frame = table({"a": 0.0}, n_seeds=6)
    rng = np.random.default_rng(0)
    frame["early_stop_step"] = [5000 - 2000 * s + 100 * rng.normal() for s in frame["sparsity"]]
    sentence = analyse(dataclasses.replace(STUDY, against_dense=("early_stop_step",)), frame).verdict[-1]
    means = frame.groupby("sparsity")["early_stop_step"].mean()
    assert sentence == (
        "Updates until a has its lowest held-out loss, against its dense network: "
        f"fewer at 50 % ({means[0.5]:,.0f} instead of {means[0.0]:,.0f}), "
        f"90 % ({means[0.9]:,.0f} instead of {means[0.0]:,.0f})."
    )


def test_the_answer_does_not_depend_on_the_number_of_processes():
    alone, events = run_study("norms", quick=True, seeds=2), []
    together = run_study("norms", quick=True, seeds=2, n_jobs=2, on_event=events.append)
    pd.testing.assert_frame_equal(together.frame, alone.frame)
    assert together.verdict == alone.verdict
    assert len(events) == len(alone.frame)


def test_a_study_runs_and_answers():
    answer = run_study("norms", quick=True, seeds=2)
    assert set(answer.frame["method"]) == {"1", "2", "inf"}
    assert len(answer.frame) == 2 * 3 * 10
    assert {"seed", "accuracy", "part", "schedule"} <= set(answer.frame)
    assert len(answer.verdict) == 2
    with pytest.raises(ValueError, match="there is no study"):
        run_study("nonsense")


def test_the_original_is_compared_with_the_author():
    frame = pd.DataFrame(
        [
            {"seed": seed, "sparsity": s, "accuracy": accuracy + seed / 1000, "method": granularity}
            for granularity, curve in AUTHORS_CURVES.items()
            for s, accuracy in curve.items()
            for seed in (-1, 0, 1)
        ]
    )
    weight, unit, _ = analyse(STUDIES["original"], frame).verdict
    assert "78.4 % (the author's curve at 78.4 %), and lies 0.0 points" in weight
    assert "67.6 % (the author's curve at 67.6 %), and lies 0.0 points" in unit


def test_small_networks_stand_beside_tickets_with_as_many_weights():
    study = STUDIES["why-large"]
    for label, sparsity in study.counts_as.items():
        hidden = study.parts[label].parameters["hidden_layer_sizes"]
        small = 784 * hidden[0] + hidden[0] * hidden[1] + hidden[1] * 10
        assert (1 - sparsity) * (784 * 300 + 300 * 100) + 100 * 10 == pytest.approx(small)
        assert sparsity in study.parts["ticket of 300-100"].sparsities
    rows = label_rows([{"sparsity": 0.0}], "38-12 from the beginning", {}, study)
    assert rows[0]["sparsity"] == study.counts_as["38-12 from the beginning"]


def test_the_same_difference_from_every_seed_is_no_evidence_of_its_scatter():
    frame = table({"a": 0.0, "b": -0.01}, n_seeds=2, scatter=0.0)
    found = paired_differences(frame, "a")
    assert found["p"].isna().all()
