"""Classifiers that are made smaller: the same outputs, and everything that a fitted classifier can do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from prunelab.estimators import PrunedCNNClassifier, PrunedMLPClassifier, PruningWarning
from prunelab.estimators.inference import Evaluator
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

DIGITS = load_digits()
X, Y = (DIGITS.data[:400] / 8 - 1).astype(np.float32), DIGITS.target[:400]
SETTINGS = {"max_iter": 2, "random_state": 0, "device": "cpu"}
CNN = {"channels": (6, 9), "kernel_size": 3, "padding": "same", "hidden_layer_sizes": (12,), **SETTINGS}
CLASSIFIERS = {
    "mlp": PrunedMLPClassifier((20, 15), **SETTINGS),
    "mlp, biases": PrunedMLPClassifier((20, 15), fit_intercept=True, **SETTINGS),
    "mlp, logistic": PrunedMLPClassifier((20, 15), activation="logistic", **SETTINGS),
    "cnn": PrunedCNNClassifier(**CNN),
    "cnn, batch norm": PrunedCNNClassifier(**CNN, batch_norm=True),
    "cnn, logistic": PrunedCNNClassifier(**CNN, activation="logistic"),
}
every_classifier = pytest.mark.parametrize("name", CLASSIFIERS)


def fitted(name, **parameters):
    classifier = type(CLASSIFIERS[name])(**{**CLASSIFIERS[name].get_params(), **parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        return classifier.fit(X, Y)


def widths(classifier):
    return [group.size for group in classifier.network_.hidden_groups]


def logits(classifier, dtype):
    """As the network puts them out, without the evaluator's own compaction."""
    tensors = {name: torch.from_numpy(array.astype(dtype)) for name, array in classifier.tensors_.items()}
    return classifier.network_.forward(tensors, torch.from_numpy(X[:50].astype(dtype))).numpy()


@every_classifier
@pytest.mark.parametrize("granularity", ["unit", "weight"])
@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9, 1])
def test_the_outputs_are_the_same(name, granularity, sparsity):
    classifier = fitted(name, granularity=granularity, sparsity=sparsity)
    for round_to in (1, 8):
        smaller = classifier.compact(round_to=round_to)
        assert type(smaller) is type(classifier)
        np.testing.assert_allclose(smaller.predict_proba(X), classifier.predict_proba(X), atol=1e-5)
        np.testing.assert_allclose(logits(smaller, np.float32), logits(classifier, np.float32), rtol=1e-4, atol=1e-5)
        if granularity == "unit" and sparsity < 1:  # what was folded was summed in float32
            np.testing.assert_allclose(logits(smaller, np.float64), logits(classifier, np.float64), atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "mlp, biases", "cnn"])
def test_nothing_but_zeros_is_taken_out_where_no_constants_are_folded(name):
    """So the logits agree in float64 to rounding."""
    classifier = fitted(name, granularity="unit", sparsity=0.5)
    np.testing.assert_allclose(logits(classifier.compact(), float), logits(classifier, float), rtol=1e-12, atol=1e-12)


@every_classifier
def test_layers_are_as_narrow_as_what_the_pruning_left(name):
    classifier = fitted(name, granularity="unit", sparsity=0.5)
    smaller = classifier.compact()
    whole = CLASSIFIERS[name].make_network((8, 8), 10)
    assert widths(classifier) == [group.size for group in whole.hidden_groups]
    assert widths(smaller) == [size - round(size * 0.5) for size in widths(classifier)]
    assert smaller.sparsity_ == smaller.sparsity == 0


@every_classifier
@pytest.mark.parametrize(("round_to", "expected"), [(4, [4, 4]), (16, [16, 15])])
def test_widths_are_rounded_up_but_not_beyond_what_they_were(name, round_to, expected):
    classifier = fitted(name, granularity="unit", sparsity=0.8)
    rounded = classifier.compact(round_to=round_to)
    assert all(width % round_to == 0 or width == size for width, size in zip(widths(rounded), widths(classifier),
                                                                              strict=True))  # fmt: skip
    if name.startswith("mlp"):
        assert widths(rounded) == expected
    again = rounded.compact()
    assert widths(again) == widths(classifier.compact())


@pytest.mark.parametrize("round_to", [0, -8, 2.5, True, "8", None])
def test_what_widths_cannot_be_rounded_to_is_refused(round_to):
    with pytest.raises(ValueError, match="round_to must be a whole number of at least 1, got"):
        fitted("mlp").compact(round_to=round_to)


@every_classifier
@pytest.mark.parametrize("granularity", ["unit", "weight"])
def test_a_smaller_classifier_can_do_what_a_fitted_one_can(name, granularity, tmp_path):
    classifier = fitted(name, granularity=granularity, sparsity=0.6)
    before = {key: array.copy() for key, array in classifier.tensors_.items()}
    smaller = classifier.compact()
    expected = smaller.predict_proba(X)
    smaller.save(tmp_path / "model")
    loaded = type(smaller).load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    for other in (smaller, loaded):
        masks = other.masks_
        other.set_params(warm_start=True).fit(X, Y)  # removes nothing more
        for key, mask in masks.items():
            np.testing.assert_array_equal(other.masks_[key], mask)
        assert other.network_ == smaller.network_
        other.partial_fit(X, Y)
        other.set_params(sparsity=0.9).fit(X, Y)  # prunes what is left
        assert sum(widths(other.compact())) < sum(widths(other)) or granularity == "weight"
    np.testing.assert_equal(classifier.tensors_, before)


def test_parameters_set_since_the_fit_do_not_matter():
    classifier = fitted("cnn", granularity="unit", sparsity=0.5)
    expected = classifier.compact().predict_proba(X)
    classifier.set_params(channels=(3,), kernel_size=1, sample_shape=(2, 32))
    smaller = classifier.compact()
    assert (smaller.channels, smaller.kernel_size) == ((3, 5), 3)
    np.testing.assert_array_equal(smaller.predict_proba(X), expected)


def test_constants_that_need_biases_get_them():
    """A logistic unit that lost all of its weights puts out a half."""
    classifier = fitted("mlp, logistic", sparsity=0.97)
    assert not classifier.fit_intercept
    smaller = classifier.compact()
    assert smaller.fit_intercept
    assert smaller.intercepts_[-1].any()
    assert smaller.set_params(warm_start=True).fit(X, Y).network_ == smaller.compact().network_


def test_a_smaller_classifier_needs_a_fitted_one():
    with pytest.raises(NotFittedError):
        PrunedMLPClassifier().compact()


def test_an_evaluator_computes_the_same():
    """It takes out the same units by itself."""
    classifier = fitted("cnn", granularity="unit", sparsity=0.5)
    evaluator = Evaluator(X, torch.device("cpu"), "float32")
    smaller = classifier.compact()
    np.testing.assert_array_equal(
        evaluator.logits(smaller.network_, smaller.tensors_), evaluator.logits(classifier.network_, classifier.tensors_)
    )
