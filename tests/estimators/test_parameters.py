"""The light description of the parameters agrees with the classifier itself."""

from __future__ import annotations

import pytest
from prunelab.estimators import PrunedMLPClassifier
from prunelab.estimators.parameters import DEFAULTS, check_value
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
