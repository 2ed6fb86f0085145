"""Paired inference: held against scipy, by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.estimators.studies.paired import (
    WIDENING,
    confidence_interval,
    critical_value,
    detectable_effect,
    holm,
    p_value,
    statistic,
    wilson_interval,
)
from scipy import stats

SAMPLES = st.tuples(st.integers(0, 10_000), st.integers(3, 60), st.floats(-3, 3), st.booleans()).map(
    lambda drawn: np.random.default_rng(drawn[0]).exponential(size=drawn[1]) * (-1 if drawn[3] else 1) + drawn[2]
)


@given(SAMPLES)
def test_the_statistic_is_student_s(gaps):
    assert statistic(gaps) == pytest.approx(abs(stats.ttest_1samp(gaps, 0).statistic))


@given(SAMPLES, st.sampled_from([0.01, 0.05, 0.1]))
def test_the_interval_is_what_the_test_does_not_reject(gaps, level):
    low, high = confidence_interval(gaps, 1 - level)
    assert low < gaps.mean() < high
    width = high - low
    for bound, inwards in ((low, width), (high, -width)):
        assert statistic(gaps - bound) == pytest.approx(critical_value(len(gaps), level), rel=1e-6)
        assert p_value(gaps - bound - 1e-3 * inwards) > 0.99 * level
        assert p_value(gaps - bound + 1e-3 * inwards) < 1.01 * level


@given(SAMPLES, st.floats(0.01, 100))
def test_signs_and_units_do_not_matter(gaps, unit):
    low, high = confidence_interval(gaps)
    assert p_value(-unit * gaps) == pytest.approx(p_value(gaps))
    assert confidence_interval(-unit * gaps) == (pytest.approx(-unit * high), pytest.approx(-unit * low))


@given(SAMPLES)
def test_the_interval_is_student_s_widened(gaps):
    n = len(gaps)
    low, high = stats.t.interval(0.95, n - 1, loc=gaps.mean(), scale=stats.sem(gaps))
    widening = (confidence_interval(gaps)[1] - gaps.mean()) / (high - gaps.mean())
    assert confidence_interval(gaps)[0] <= low < high <= confidence_interval(gaps)[1]
    if n in WIDENING:
        assert widening == pytest.approx(WIDENING[n][0])


def test_many_differences_are_tested_as_student_does():
    n = 5000
    assert critical_value(n) == pytest.approx(stats.t.ppf(0.975, n - 1), rel=1e-3)
    assert critical_value(n, 0.001) == pytest.approx(stats.t.ppf(0.9995, n - 1), rel=6e-3)


@given(st.integers(3, 200), st.integers(3, 200), st.floats(1e-6, 0.5), st.floats(1e-6, 0.5))
def test_critical_values_fall_with_the_seeds_and_the_level(few, many, strict, lenient):
    few, many, strict, lenient = min(few, many), max(few, many), min(strict, lenient), max(strict, lenient)
    assert critical_value(few, strict) >= critical_value(many, lenient) - 1e-9


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, np.nan, 0.9])), [1.0, np.nan, 1.0])
    assert len(holm(np.array([]))) == 0


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.9, 0.95]))
def test_the_wilson_interval_is_scipy_s(n, fraction, confidence):
    correct = round(fraction * n)
    expected = stats.binomtest(correct, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(correct / n, n, confidence) == (pytest.approx(expected.low), pytest.approx(expected.high))


# Simulations ----------------------------------------------------------------------------------------------------

#: Draws of (repetitions, seeds) differences with mean zero.
SYMMETRIC = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
    "t with 5 degrees of freedom": lambda rng, shape: rng.standard_t(5, shape),
}
SKEWED = {
    "gamma, skewness 1": lambda rng, shape: rng.gamma(4, size=shape) - 4,
    "exponential, skewness 2": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal, skewness 2.4": lambda rng, shape: np.exp(0.62 * rng.standard_normal(shape)) - np.exp(0.62**2 / 2),
    "exponential, skewness -2": lambda rng, shape: 1 - rng.exponential(size=shape),
}
REPETITIONS = 50_000


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 30])
@pytest.mark.parametrize("shape", [*SYMMETRIC, *SKEWED])
def test_error_and_coverage_hold(n, shape):
    gaps = (SYMMETRIC | SKEWED)[shape](np.random.default_rng(n), (REPETITIONS, n))
    for level in (0.05, 0.01, 0.001):
        allowed = level + 4 * np.sqrt(level / REPETITIONS)
        assert np.mean(statistic(gaps) > critical_value(n, level)) <= allowed
    low, high = confidence_interval(gaps)
    assert np.mean((low <= 0) & (high >= 0)) >= 0.95 - 4 * np.sqrt(0.05 / REPETITIONS)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10])
def test_student_s_t_would_not_hold(n):
    """The reason for all this: it rejects one true hypothesis in nine, not in twenty."""
    gaps = SKEWED["exponential, skewness 2"](np.random.default_rng(n), (REPETITIONS, n))
    student = np.abs(stats.ttest_1samp(gaps, 0, axis=1).statistic)
    assert np.mean(student > stats.t.ppf(0.975, n - 1)) > 0.09


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 30])
@pytest.mark.parametrize("n_comparisons", [1, 4, 40])
def test_the_detectable_difference_is_found_four_times_in_five(n, n_comparisons):
    effect = detectable_effect(n, n_comparisons)
    gaps = np.random.default_rng(1).standard_normal((REPETITIONS, n)) + effect
    assert np.mean(statistic(gaps) > critical_value(n, 0.05 / n_comparisons)) == pytest.approx(0.8, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("shape", ["normal", "exponential, skewness 2"])
def test_a_study_without_any_difference_seldom_claims_one(n, shape):
    """Nine methods at five sparsities, corrected over the whole study."""
    draw = (SYMMETRIC | SKEWED)[shape]
    p_values = p_value(draw(np.random.default_rng(n), (2000, 45, n)))
    claims = np.mean([holm(of_study).min() < 0.05 for of_study in p_values])
    assert claims <= 0.05 + 3 * np.sqrt(0.05 / 2000)
