"""The light description of the parameters agrees with the classifier itself."""

from __future__ import annotations

import pytest
from prunelab.estimators import PrunedMLPClassifier
from prunelab.estimators.parameters import DEFAULTS, SCHEDULES, USED_BY, check_value, conflicts
from prunelab.estimators.presets import PRESETS, variants_of


def test_the_defaults_are_those_of_the_classifier():
    assert PrunedMLPClassifier().get_params() == DEFAULTS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_what_the_classifier_takes(name):
    preset = PRESETS[name]
    for variant in variants_of(preset.ways):
        for parameter, value in {**preset.parameters, **variant}.items():
            assert parameter in DEFAULTS
            check_value(parameter, value)


def test_variants_are_all_combinations_in_order():
    assert variants_of({"a": (1, 2), "b": (3, 4)}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert variants_of({}) == [{}]


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({}, []),
        ({"warm_start": True, "early_stopping": True}, []),
        ({"schedule": "iterative"}, ["fine_tune_iter"]),
        ({"schedule": "iterative", "fine_tune_iter": 1, "granularity": "unit"}, []),
        ({"schedule": "set", "granularity": "unit", "early_stopping": True}, ["early_stopping", "granularity"]),
        ({"schedule": "synaptic", "granularity": "weight"}, []),
        ({"schedule": "rewind", "warm_start": True}, ["warm_start"]),
        ({"schedule": "rewind", "early_stopping": "measure"}, []),
    ],
)
def test_what_does_not_go_together_names_what_has_to_change(parameters, wrong):
    found = conflicts(parameters)
    assert list(found) == wrong
    assert all(sentence.startswith(name) for name, sentence in found.items())


def test_parameters_of_some_schedules_name_schedules_that_there_are():
    assert set(USED_BY) <= set(DEFAULTS)
    assert {schedule for schedules in USED_BY.values() for schedule in schedules} <= set(SCHEDULES)
