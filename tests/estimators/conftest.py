"""Fixtures of the estimators' tests: small data, and classifiers that are trained in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from prunelab.estimators.mlp import PrunedMLPClassifier
from sklearn.datasets import load_digits


class Split(NamedTuple):
    """Training and test data."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Products as small as those of the tests only lose time when threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Split:
    """The digits of scikit-learn, from 0 to 1, float32."""
    X, y = load_digits(return_X_y=True)
    X = np.ascontiguousarray(X / 16, dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    return Split(X[:1200], y[:1200], X[1200:], y[1200:])


@pytest.fixture(scope="session")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Ninety points of three classes in four dimensions; easy to separate."""
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3
    X = rng.normal(size=(90, 4)) * 0.3 + np.eye(4)[y] * 2
    return X.astype(np.float32), y


@pytest.fixture(scope="session")
def make() -> Callable[..., PrunedMLPClassifier]:
    """A factory of small classifiers; keywords replace its choices."""

    def factory(**parameters: Any) -> PrunedMLPClassifier:
        chosen = {
            "hidden_layer_sizes": (24, 12),
            "learning_rate_init": 0.01,
            "max_iter": 5,
            "random_state": 0,
            "device": "cpu",
            **parameters,
        }
        return PrunedMLPClassifier(**chosen)

    return factory
