"""The statistics of batch normalisation after pruning, against NumPy in float64, and wherever a network is pruned."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from prunelab.estimators import PrunedCNNClassifier, iter_sparsity_path, sparsity_path
from prunelab.estimators import recalibration as module
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.networks.cnn import CNNNetwork
from prunelab.estimators.recalibration import recalibrated
from prunelab.estimators.schedules.catalogue import SCHEDULES
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score

from .small_networks import CNNS, random_samples, random_tensors

DIGITS = load_digits()
X, Y = (DIGITS.images / 8 - 1).astype(np.float32)[:500], DIGITS.target[:500]
X_TEST, Y_TEST = (DIGITS.images / 8 - 1).astype(np.float32)[500:1000], DIGITS.target[500:1000]
NORMALISED = {name: network for name, network in CNNS.items() if network.batch_norm}
#: Filters in one layer, several layers, maps that are no square, zeros around them, no pooling.
NORMALISED["one filter"] = CNNNetwork((1, 6, 5), (1, 3), 2, 2, "same", (), 3, "identity", batch_norm=True)


def make(**parameters) -> PrunedCNNClassifier:
    settings = {"channels": (8, 12), "kernel_size": 3, "padding": "same", "hidden_layer_sizes": (16,), "max_iter": 4}
    settings |= {"batch_norm": True, "recalibrate": True, "random_state": 0, "device": "cpu", "granularity": "unit"}
    return PrunedCNNClassifier(**{**settings, **parameters})


def statistics(network, tensors, inputs):
    """The mean and the variance of every channel before its normalisation, layer by layer."""
    functions = {
        "relu": lambda x: np.maximum(x, 0),
        "tanh": np.tanh,
        "logistic": lambda x: 1 / (1 + np.exp(-x)),
        "identity": lambda x: x,
    }
    values, size, found = inputs.reshape(len(inputs), *network.sample_shape), network.kernel_size, {}
    for i in range(1, len(network.channels) + 1):
        if network.padding == "same":
            before = (size - 1) // 2
            values = np.pad(values, ((0, 0), (0, 0), *[(before, size - 1 - before)] * 2))
        windows = sliding_window_view(values, (size, size), axis=(2, 3))
        values = np.einsum("nchwij,ocij->nohw", windows, tensors[f"conv{i}.weight"])
        mean, variance = values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3))
        found |= {f"conv{i}.mean": mean, f"conv{i}.variance": variance}
        scale, shift, mean, variance = (
            v[:, None, None] for v in (tensors[f"conv{i}.scale"], tensors[f"conv{i}.shift"], mean, variance)
        )
        values = functions[network.activation]((values - mean) / np.sqrt(variance + 1e-5) * scale + shift)
        height, width = (length // network.pooling for length in values.shape[2:])
        values = values[:, :, : height * network.pooling, : width * network.pooling]
        values = values.reshape(*values.shape[:2], height, network.pooling, width, network.pooling).max(axis=(3, 5))
    return found


@pytest.mark.parametrize("network", NORMALISED.values(), ids=NORMALISED)
@pytest.mark.parametrize("block", [10**7, 1], ids=["at once", "one by one"])
def test_the_statistics_are_those_of_numpy(network, block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", block)
    tensors, (inputs, _) = random_tensors(network, 0), random_samples(network, 7, seed=1)
    before = {name: array.copy() for name, array in tensors.items()}
    found = recalibrated(network, tensors, inputs, "cpu")
    expected = statistics(network, tensors, inputs)
    assert list(found) == list(tensors)
    for name, array in found.items():
        np.testing.assert_allclose(array, expected.get(name, tensors[name]), rtol=1e-10, atol=1e-12)
        assert array.dtype == tensors[name].dtype
    np.testing.assert_equal(tensors, before)


def test_large_means_do_not_hide_small_variances():
    network = CNNNetwork((1, 4, 4), (2,), 1, 1, "valid", (), 2, batch_norm=True)
    tensors = {name: array.astype(np.float32) for name, array in random_tensors(network, 0).items()}
    inputs = (1000 + np.random.default_rng(0).normal(size=(50, 16))).astype(np.float32)
    found = recalibrated(network, tensors, inputs, "cpu")
    for name, expected in statistics(network, {n: a.astype(float) for n, a in tensors.items()}, inputs).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-3)


def test_removed_filters_have_no_statistics():
    classifier = make(sparsity=0.5).fit(X, Y)
    for name, mask in classifier.masks_.items():
        assert not classifier.tensors_[name][~mask].any()
    assert (classifier.tensors_["conv1.variance"] > 0).sum() == 4


def test_a_pruned_network_recovers():
    usual, recalibrated_too = (
        sparsity_path(make(recalibrate=on, max_iter=8), X, Y, sparsities=[0, 0.5], X_test=X_TEST, y_test=Y_TEST).frame
        for on in (False, True)
    )
    assert usual["accuracy"][0] == recalibrated_too["accuracy"][0]  # nothing was removed
    assert recalibrated_too["loss"][1] < usual["loss"][1]


def test_it_is_measured_on_the_training_data_and_nothing_else_changes():
    usual, found = (make(recalibrate=on, sparsity=0.4).fit(X, Y) for on in (False, True))
    expected = recalibrated(usual.network_, usual.tensors_, X.reshape(len(X), -1), "cpu")
    np.testing.assert_equal(found.tensors_, expected)
    assert (found.tensors_["conv2.mean"] != usual.tensors_["conv2.mean"]).any()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_agrees_with_its_path(schedule):
    granularity = "weight" if schedule in ("set", "rigl", "synaptic") else "unit"
    classifier = make(schedule=schedule, granularity=granularity, n_rounds=2, fine_tune_iter=1, max_iter=2)
    path = list(iter_sparsity_path(classifier, X[:200], Y[:200], sparsities=[0.3, 0.5]))
    for point in path:
        fitted = make(**{**classifier.get_params(), "sparsity": point.row["sparsity"]}).fit(X[:200], Y[:200])
        np.testing.assert_equal(fitted.tensors_, point.model.tensors)
        np.testing.assert_equal(point.to_classifier().tensors_, fitted.tensors_)


def test_searches_agree_bit_for_bit(tmp_path):
    search = GridSearchCV(make(memory=tmp_path), {"sparsity": [0.3, 0.6], "recalibrate": [False, True]}, cv=2)
    results = search.fit(X, Y).cv_results_
    for parameters, score in zip(results["params"], results["mean_test_score"], strict=True):
        assert cross_val_score(make(**parameters), X, Y, cv=2).mean() == score
    # One training serves both ways.
    path = iter_sparsity_path(make(), X, Y, sparsities=[0.5], variants=[{"recalibrate": on} for on in (False, True)])
    for point, on in zip(path, (False, True), strict=True):
        np.testing.assert_equal(point.model.tensors, make(sparsity=0.5, recalibrate=on).fit(X, Y).tensors_)


def test_interactive_pruning_and_partial_fits_recalibrate_too():
    dense = make().fit(X, Y)
    interactive = InteractivePruning(dense, X, Y, X_TEST, Y_TEST)
    np.testing.assert_equal(interactive.prune(0.5).model.tensors, make(sparsity=0.5).fit(X, Y).tensors_)
    usual, found = (make(recalibrate=on, sparsity=0.5).partial_fit(X, Y) for on in (False, True))
    expected = recalibrated(usual.network_, usual.tensors_, X.reshape(len(X), -1), "cpu")
    np.testing.assert_equal(found.tensors_, expected)


def test_files_keep_the_statistics_and_the_parameter(tmp_path):
    classifier = make(sparsity=0.5).fit(X, Y)
    classifier.save(tmp_path / "model")
    loaded = PrunedCNNClassifier.load(tmp_path / "model")
    assert loaded.recalibrate
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_allclose(classifier.compact().predict_proba(X), classifier.predict_proba(X), atol=1e-5)


def test_without_batch_normalisation_it_is_refused():
    with pytest.raises(ValueError, match="recalibrate must be False without batch_norm=True"):
        make(batch_norm=False).fit(X, Y)
