"""Means over seeds and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.estimators.statistics import mean_interval
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
