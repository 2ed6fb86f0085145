"""Wrong labels in the training data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.estimators import DatasetError, load_dataset
from prunelab.estimators.data.noise import with_label_noise

LABELS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=4, max_size=200).map(np.array)


@given(LABELS.filter(lambda y: len(set(y)) > 1), st.floats(0, 1))
def test_exactly_a_fraction_of_the_labels_is_wrong(y, fraction):
    before = y.copy()
    noisy = with_label_noise(y, fraction)
    assert np.array_equal(y, before)
    assert (noisy != y).sum() == round(fraction * len(y))
    assert set(noisy) <= set(y)
    assert np.array_equal(noisy, with_label_noise(y, fraction))


def test_the_noise_is_nested_and_uniform():
    y = np.repeat(np.arange(10), 3000)
    little, much = with_label_noise(y, 0.2), with_label_noise(y, 0.4)
    assert np.array_equal(much[little != y], little[little != y])
    wrong = much != y
    shifts = np.bincount((much[wrong] - y[wrong]) % 10, minlength=10)
    assert shifts[0] == 0
    np.testing.assert_allclose(shifts[1:], 12_000 / 9, rtol=0.1)  # standard deviation 2.6 %
    np.testing.assert_allclose(np.bincount(y[wrong]), 1200, rtol=0.1)


def test_only_training_labels_are_wrong():
    clean, noisy = load_dataset("digits"), load_dataset("digits", label_noise=0.4)
    assert np.mean(clean.y_train != noisy.y_train) == pytest.approx(0.4, abs=1e-3)
    for name in ("X_train", "X_test", "y_test"):
        assert np.array_equal(clean[name], noisy[name])
    assert "40 % of the training labels are wrong" in noisy.source


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan"), "much", True])
def test_a_fraction_is_asked_for(fraction):
    with pytest.raises(DatasetError, match="label_noise must be a number from 0 to 1"):
        load_dataset("digits", label_noise=fraction)
