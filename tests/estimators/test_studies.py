"""Studies: every study runs the experiments that it describes, in one process or in several."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from prunelab.estimators.parameters import check_value
from prunelab.estimators.presets import Preset, variants_of
from prunelab.estimators.studies.catalogue import STUDIES, Study
from prunelab.estimators.studies.run import label_rows, method_names, run_study

STUDY = Study("?", {"": Preset("", "", "digits")}, baseline="a")


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
    assert {"dataset", "test_samples"} <= set(answer.frame)
    assert [sentence.split(":")[0] for sentence in answer.verdict[:2]] == ["1", "inf"]
    with pytest.raises(ValueError, match="there is no study"):
        run_study("nonsense")


def test_small_networks_stand_beside_tickets_with_as_many_weights():
    study = STUDIES["why-large"]
    for label, sparsity in study.counts_as.items():
        hidden = study.parts[label].parameters["hidden_layer_sizes"]
        small = 784 * hidden[0] + hidden[0] * hidden[1] + hidden[1] * 10
        assert (1 - sparsity) * (784 * 300 + 300 * 100) + 100 * 10 == pytest.approx(small)
        assert sparsity in study.parts["ticket of 300-100"].sparsities
    rows = label_rows([{"sparsity": 0.0}], "38-12 from the beginning", {}, study, "mnist")
    assert rows[0]["sparsity"] == study.counts_as["38-12 from the beginning"]


def test_networks_before_their_retraining_are_parts_of_their_own():
    row = {"sparsity": 0.9, "accuracy": 0.8, "accuracy_before_fine_tuning": 0.3, "loss": 1.0}
    before, after = label_rows([row], "some noise", {}, STUDIES["noise"], "mnist")
    assert (before["part"], before["accuracy"]) == ("some noise", 0.3)
    assert (after["part"], after["accuracy"], after["method"]) == ("some noise, retrained", 0.8, "0.9")


def test_the_noise_study_compares_networks_with_the_same_wrong_labels():
    answer = run_study("noise", quick=True, seeds=1)
    noises = ("0 %", "20 %", "40 %")
    parts = {f"{noise} of the labels wrong{how}" for noise in noises for how in ("", ", retrained")}
    assert set(answer.frame["part"]) == set(answer.differences["part"]) == parts
    assert set(answer.differences["method"]) == {"0.5", "0.8", "0.9", "0.95", "0.97", "0.99"}
    dense = answer.frame[answer.frame["sparsity"] == 0].set_index("part")["accuracy"]
    assert dense["0 % of the labels wrong"] > dense["40 % of the labels wrong"]
