"""From raw rows to what a network takes: the transformer that `load_dataset` fits and model files hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from prunelab.estimators import load_dataset
from prunelab.estimators.data.preprocessing import SCALINGS, Preprocessing
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 4, 5), dtype=np.uint8)


def fitted(scaling: str = "features", X: object = PIXELS) -> Preprocessing:
    preprocessing = Preprocessing(scaling).fit(X)
    preprocessing.class_names_ = ["a", "b"]
    return preprocessing


def test_features_are_scaled_as_scikit_learn_does():
    X = np.random.default_rng(0).normal(3, 5, (80, 6))
    X[:, 2] = 0.1
    expected = StandardScaler().fit_transform(X)
    expected[:, 2] = 0
    np.testing.assert_allclose(Preprocessing().fit_transform(X), expected, atol=1e-6)


def test_pixels_are_scaled_all_together():
    flat = PIXELS.reshape(50, 20) / 255
    for scaling, expected in (
        ("signed", 2 * flat - 1),
        ("unit", flat),
        ("standard", (flat - flat.mean()) / flat.std()),
    ):
        np.testing.assert_allclose(fitted(scaling).transform(PIXELS), expected, atol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_what_is_stored_is_restored_bit_for_bit(scaling):
    X = pd.DataFrame(PIXELS.reshape(50, 20), columns=[f"c{i}" for i in range(20)])
    before = fitted(scaling, X)
    after = Preprocessing.restore(before.to_header(), before.to_arrays(), 20, 2)
    np.testing.assert_array_equal(after.transform(X[X.columns[::-1]]), before.transform(X))
    assert after.to_header() == before.to_header()
    assert clone(after).get_params() == before.get_params()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("header", {"scaling": "other"}),
        ("header", {"largest": 0}),
        ("header", {"largest": float("inf")}),
        ("header", {"largest": "1"}),
        ("header", {"sample_shape": [4, 6]}),
        ("header", {"sample_shape": [-4, -5]}),
        ("header", {"sample_shape": [True, 20]}),
        ("header", {"feature_names": ["a"]}),
        ("header", {"class_names": ["a", 1]}),
        ("header", {"class_names": "ab"}),
        ("arrays", {"mean": np.zeros(3)}),
        ("arrays", {"mean": np.zeros(20, np.float32)}),
        ("arrays", {"mean": np.full(20, np.nan)}),
        ("arrays", {"scale": -np.ones(20)}),
        ("arrays", {"more": np.ones(20)}),
    ],
)
def test_what_does_not_fit_is_not_restored(part, change):
    before = fitted()
    header, arrays = before.to_header(), before.to_arrays()
    (header if part == "header" else arrays).update(change)
    with pytest.raises((ValueError, TypeError)):
        Preprocessing.restore(header, arrays, 20, 2)


def test_what_cannot_be_transformed_is_one_sentence():
    names = fitted("features", pd.DataFrame(PIXELS.reshape(50, 20), columns=[f"c{i}" for i in range(20)]))
    for X, words in (
        (pd.DataFrame({"c0": [1.0]}), "no column 'c1' and 18 more"),
        (np.zeros((2, 3)), "samples of shape"),
        (np.zeros(20), "1 dimension"),
        (np.full((2, 20), "a"), "must be numbers"),
        (np.full((2, 20), None), "not numbers|missing"),
        (np.full((2, 20), np.inf), "infinite"),
    ):
        with pytest.raises(ValueError, match=words):
            names.transform(X)


def test_it_comes_with_every_data_set():
    data = load_dataset("digits", pixels="unit")
    assert data.preprocessing.class_names_ == data.class_names
    np.testing.assert_array_equal(data.preprocessing.transform(np.full((1, 8, 8), 16)), np.ones((1, 64)))
