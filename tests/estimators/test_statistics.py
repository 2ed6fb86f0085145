"""Means over seeds and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.estimators.studies.statistics import knee, mean_interval
from scipy import stats


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
    confidence=st.sampled_from([0.5, 0.9, 0.95]),
)
def test_the_interval_is_student_s(values, confidence):
    mean, low, high = mean_interval(values, confidence)
    assert mean == pytest.approx(np.mean(values), abs=1e-6)
    error = stats.sem(values)
    if error > 0:
        expected = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=error)
        assert (low, high) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    else:
        assert low == high == mean


def test_the_interval_of_too_few_values_is_unknown():
    assert np.isnan(mean_interval([])).all()
    mean, low, high = mean_interval([0.5, float("nan"), float("inf")])
    assert mean == 0.5
    assert np.isnan([low, high]).all()


def test_knee_is_where_the_curve_has_fallen_by_two_points():
    assert knee([0, 0.5, 0.8, 0.9], [0.97, 0.97, 0.96, 0.92]) == pytest.approx(0.8 + 0.1 * 0.01 / 0.04)
    # The author's curves, by hand: 97.15 - 2 = 95.15 lies between 96.77 and 94.84, and between 96.76 and 94.63.
    sparsities = [0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9]
    weight = [0.9715, 0.9712, 0.97, 0.969, 0.9677, 0.9484, 0.8243]
    unit = [0.9715, 0.9714, 0.9698, 0.9676, 0.9463, 0.7266, 0.3667]
    assert knee(sparsities, weight) == pytest.approx(0.7 + 0.1 * (96.77 - 95.15) / (96.77 - 94.84))
    assert knee(sparsities, unit) == pytest.approx(0.6 + 0.1 * (96.76 - 95.15) / (96.76 - 94.63))


def test_knee_takes_any_order_and_averages_seeds():
    assert knee([0.9, 0, 0.9, 0], [0.5, 0.9, 0.7, 1.0]) == pytest.approx(0.9 * 0.02 / 0.35)


@pytest.mark.parametrize(
    ("sparsities", "accuracies"),
    [([], []), ([0], [0.9]), ([0, 0.5], [0.9, 0.89]), ([0, 0.5], [float("nan"), 0.5])],
)
def test_there_may_be_no_knee(sparsities, accuracies):
    assert np.isnan(knee(sparsities, accuracies))
