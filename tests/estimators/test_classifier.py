"""The classifier as scikit-learn's users meet it."""

from __future__ import annotations

import copy
import pickle
import warnings
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from prunelab.estimators import PrunedMLPClassifier, PruningWarning, sparsity_path
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .lists import unit_masks, weight_masks

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
both_granularities = pytest.mark.parametrize("granularity", ["weight", "unit"])


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def assert_same_model(one, other, X):
    for name in ("tensors_", "masks_"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.keys() == theirs.keys()
        assert_equal(list(mine.values()), list(theirs.values()))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


# -- fit and predict -------------------------------------------------------------------------------------


def test_it_learns_the_digits(digits, make):
    classifier = make(max_iter=20).fit(digits.X_train, digits.y_train)
    assert classifier.score(digits.X_test, digits.y_test) > 0.9


def test_fitted_attributes(digits, make):
    classifier = make(sparsity=0.5, max_iter=3, fit_intercept=True).fit(digits.X_train, digits.y_train)
    assert [coef.shape for coef in classifier.coefs_] == [(64, 24), (24, 12), (12, 10)]
    assert [mask.shape for mask in weight_masks(classifier)] == [(64, 24), (24, 12), (12, 10)]
    assert [bias.shape for bias in classifier.intercepts_] == [(24,), (12,), (10,)]
    assert {array.dtype for array in (*classifier.coefs_, *classifier.intercepts_)} == {np.dtype(np.float32)}
    assert {mask.dtype for mask in classifier.masks_.values()} == {np.dtype(bool)}
    assert classifier.n_features_in_ == 64
    assert not hasattr(classifier, "feature_names_in_")
    np.testing.assert_array_equal(classifier.classes_, np.arange(10))
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 3
    assert classifier.loss_ == classifier.loss_curve_[-1]
    assert classifier.loss_curve_[0] > classifier.loss_curve_[-1]
    assert classifier.validation_scores_ is None
    assert classifier.fine_tune_loss_curve_ == []
    assert (classifier.n_layers_, classifier.n_outputs_, classifier.precision_) == (4, 10, "float32")


def test_predictions_are_those_of_the_fitted_arrays(digits, make):
    classifier = make(sparsity=0.5, fit_intercept=True).fit(digits.X_train, digits.y_train)
    values = digits.X_test.astype(np.float64)
    for layer, (coef, bias) in enumerate(zip(classifier.coefs_, classifier.intercepts_, strict=True)):
        values = values @ coef.astype(np.float64) + bias.astype(np.float64)
        values = np.maximum(values, 0) if layer < 2 else values
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(digits.X_test), expected, atol=1e-6)
    np.testing.assert_allclose(classifier.predict_log_proba(digits.X_test), np.log(expected), atol=1e-5)
    np.testing.assert_array_equal(classifier.predict(digits.X_test), expected.argmax(axis=1))
    assert classifier.predict_proba(digits.X_test).dtype == np.float64
    np.testing.assert_allclose(classifier.predict_proba(digits.X_test).sum(axis=1), 1, rtol=1e-12)


def test_a_sample_alone_is_predicted_as_among_others(digits, make):
    classifier = make(sparsity=0.5).fit(digits.X_train, digits.y_train)
    together = classifier.predict_proba(digits.X_test[:20])
    alone = np.vstack([classifier.predict_proba(row[None]) for row in digits.X_test[:20]])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["setosa", "iris", "versicolor"]),
        np.array(["b", "c", "a"], dtype=object),
        np.array([10, -3, 7]),
        np.array([2.0, -1.0, 0.0]),
    ],
    ids=["strings", "objects", "integers", "floats"],
)
def test_labels_come_back_as_they_were(blobs, make, labels):
    X, y = blobs
    classifier = make(max_iter=20).fit(X, labels[y])
    np.testing.assert_array_equal(classifier.classes_, sorted(labels))
    predicted = classifier.predict(X)
    assert predicted.dtype == labels.dtype
    assert (predicted == labels[y]).mean() > 0.95
    by_probability = classifier.classes_[classifier.predict_proba(X).argmax(axis=1)]
    np.testing.assert_array_equal(by_probability, predicted)


def test_two_classes_and_truth_values(blobs, make):
    X, y = blobs
    classifier = make(max_iter=20).fit(X, y == 1)
    assert classifier.predict_proba(X).shape == (90, 2)
    assert classifier.predict(X).dtype == np.bool_
    assert (classifier.predict(X) == (y == 1)).mean() > 0.95


@pytest.mark.parametrize("kind", ["series", "strings", "categories", "list"])
def test_labels_may_come_from_pandas(blobs, make, kind):
    X, y = blobs
    series = pd.Series(y, index=np.arange(90) * 3)
    labels = {
        "series": series,
        "strings": series.astype(str),
        "categories": series.astype(str).astype("category"),
        "list": y.tolist(),
    }[kind]
    predicted = make(max_iter=20).fit(X, labels).predict(X)
    assert (predicted.astype(int) == y).mean() > 0.95


def test_column_names_are_remembered_and_checked(blobs, make):
    X, y = blobs
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    classifier = make().fit(frame, y)
    np.testing.assert_array_equal(classifier.feature_names_in_, ["a", "b", "c", "d"])
    np.testing.assert_array_equal(classifier.predict_proba(frame), make().fit(X, y).predict_proba(X))
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="feature names"):
        classifier.predict(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.uint8, bool])
def test_any_numbers_will_do(blobs, make, dtype):
    X, y = (blobs[0] > 1).astype(dtype), blobs[1]
    np.testing.assert_array_equal(
        make().fit(X, y).predict_proba(X), make().fit(X.astype(np.float32), y).predict_proba(X.astype(np.float32))
    )


def test_memory_layout_does_not_matter(blobs, make):
    X, y = blobs
    expected = make().fit(X, y).predict_proba(X)
    for same in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.tolist()):
        np.testing.assert_array_equal(make().fit(same, y).predict_proba(same), expected)


def test_read_only_memory_maps_will_do(tmp_path, blobs, make):
    X, y = blobs
    for name, array in (("X", X), ("y", y), ("w", np.ones(90, dtype=np.float32))):
        np.save(tmp_path / name, array)
    X_map, y_map, w_map = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xyw")
    assert not X_map.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = make(early_stopping=True, fine_tune_iter=1, sparsity=0.5).fit(X_map, y_map, w_map)
        classifier.predict(X_map)
        classifier.partial_fit(X_map, y_map)


def test_the_data_are_not_changed(blobs, make):
    X, y = blobs
    X_before, y_before = X.copy(), y.copy()
    make(fine_tune_iter=1, sparsity=0.5).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.coo_array])
def test_sparse_data_are_refused_in_words(blobs, make, kind):
    X, y = blobs
    with pytest.raises(TypeError, match=r"(?i)sparse.*dense"):
        make().fit(kind(X), y)
    with pytest.raises(TypeError, match=r"(?i)sparse.*dense"):
        make().fit(X, y).predict(kind(X))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_are_not_finite_are_refused(blobs, make, bad):
    X = blobs[0].copy()
    X[3, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        make().fit(X, blobs[1])
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        make().fit(*blobs).predict(X)


def test_one_class_is_too_few(blobs, make):
    with pytest.raises(ValueError, match="2 classes, got 1"):
        make().fit(blobs[0], np.zeros(90))


def test_numbers_to_be_predicted_are_refused(blobs, make):
    with pytest.raises(ValueError, match=r"(?i)continuous"):
        make().fit(blobs[0], blobs[0][:, 0])


def test_the_number_of_features_is_checked(blobs, make):
    with pytest.raises(ValueError, match="features"):
        make().fit(*blobs).predict(blobs[0][:, :3])


def test_predicting_comes_after_fitting(blobs, make):
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError):
            getattr(make(), method)(blobs[0])


def test_sample_weights_count(blobs, make):
    X, y = blobs
    weights = np.where(y == 0, 1.0, 1e-3)
    assert (make(max_iter=20).fit(X, y, weights).predict(X) == 0).mean() > 0.5
    with pytest.raises(ValueError, match=r"(?i)negative"):
        make().fit(X, y, -weights)
    with pytest.raises(ValueError, match="sample_weight"):
        make().fit(X, y, weights[:5])


def test_samples_that_weigh_nothing_do_not_choose_the_epoch(blobs, make):
    """Held-out samples count for early stopping as much as they weigh."""
    X, y = blobs
    weights = np.ones(90)
    weights[::2] = 0
    wrong = np.where(weights > 0, y, (y + 1) % 3)
    parameters = {"early_stopping": True, "validation_fraction": 0.5, "max_iter": 20, "tol": -np.inf}
    classifier = make(**parameters).fit(X, wrong, weights)
    assert max(classifier.validation_scores_) > 0.9


def test_held_out_samples_may_all_weigh_nothing(blobs, make):
    """The score of an epoch is then meaningless, but a number."""
    weights = np.zeros(90)
    weights[5] = 1
    for seed in range(3):  # one of the splits at least trains on that sample
        classifier = make(early_stopping=True, validation_fraction=0.1, random_state=seed).fit(*blobs, weights)
        assert np.isfinite(classifier.validation_scores_).all()


# -- randomness ------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_classifier(blobs, make):
    one, same, other = (make(random_state=seed, sparsity=0.3).fit(*blobs) for seed in (4, 4, 5))
    assert_same_model(one, same, blobs[0])
    assert (one.coefs_[0] != other.coefs_[0]).any()


def test_without_a_seed_every_fit_differs_and_can_be_repeated(blobs, make):
    one, other = make(random_state=None).fit(*blobs), make(random_state=None).fit(*blobs)
    assert (one.coefs_[0] != other.coefs_[0]).any()
    assert_same_model(make(random_state=one.seed_).fit(*blobs), one, blobs[0])


def test_a_random_state_is_drawn_from(blobs, make):
    fits = []
    for _ in range(2):
        state = np.random.RandomState(3)
        fits.append([make(random_state=state).fit(*blobs).seed_ for _ in range(2)])
    assert fits[0] == fits[1]
    assert fits[0][0] != fits[0][1]


@pytest.mark.parametrize("seed", [0, np.int64(3), np.uint8(3), 2**32 - 1, 2**40])
def test_whole_numbers_are_seeds(blobs, make, seed):
    assert make(random_state=seed, max_iter=1).fit(*blobs).seed_ == seed


# -- parameters ------------------------------------------------------------------------------------------

BAD_PARAMETERS = [
    ("hidden_layer_sizes", (10, 0)),
    ("hidden_layer_sizes", (10, 2.5)),
    ("hidden_layer_sizes", -3),
    ("hidden_layer_sizes", "10"),
    ("hidden_layer_sizes", None),
    ("hidden_layer_sizes", [[5, 5], [5, 5]]),
    ("activation", "gelu"),
    ("activation", None),
    ("solver", "lbfgs"),
    ("alpha", -0.1),
    ("alpha", "0.1"),
    ("alpha", float("nan")),
    ("batch_size", 0),
    ("batch_size", "auto"),
    ("batch_size", 10.0),
    ("learning_rate_init", 0.0),
    ("learning_rate_init", float("nan")),
    ("momentum", 1.0),
    ("momentum", -0.1),
    ("max_iter", 0),
    ("max_iter", 2.5),
    ("max_iter", True),
    ("tol", None),
    ("tol", float("nan")),
    ("n_iter_no_change", 0),
    ("early_stopping", "yes"),
    ("early_stopping", 1),
    ("validation_fraction", 0.0),
    ("validation_fraction", 1.0),
    ("random_state", -1),
    ("random_state", "zero"),
    ("random_state", 0.5),
    ("verbose", "loud"),
    ("warm_start", None),
    ("fit_intercept", "no"),
    ("init", "zeros"),
    ("prune_output", "quarter"),
    ("prune_output", 1),
    ("sparsity", -0.01),
    ("sparsity", 1.01),
    ("sparsity", 90),
    ("sparsity", "0.5"),
    ("sparsity", None),
    ("sparsity", float("nan")),
    ("sparsity", True),
    ("sparsity", np.array([0.5])),
    ("criterion", "size"),
    ("criterion", ["magnitude"]),
    ("granularity", "filter"),
    ("scope", "model"),
    ("norm", 3),
    ("norm", "two"),
    ("norm", None),
    ("order", "ascending"),
    ("prune_output", "yes"),
    ("fine_tune_iter", -1),
    ("fine_tune_iter", 1.5),
    ("device", "gpu"),
    ("device", 0),
    ("device", torch.device("cpu")),
    ("device", "meta"),
    ("precision", "float16"),
    ("precision", torch.float32),
    ("memory", 5),
]


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=lambda value: str(value))
def test_a_bad_parameter_gives_one_sentence_that_names_it(blobs, make, name, value):
    events = []
    with pytest.raises(ValueError, match=rf"\b{name}\b") as caught:
        make(**{name: value}).fit(*blobs, on_event=events.append)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 200
    assert str(value).strip("[]()") in message
    assert events == []


def test_parameters_are_checked_in_fit_and_left_as_they_are(blobs):
    values = {
        "hidden_layer_sizes": [8, 4],
        "norm": "inf",
        "sparsity": np.float64(0.5),
        "max_iter": np.int64(2),
        "fit_intercept": np.bool_(True),
        "random_state": 1,
    }
    classifier = PrunedMLPClassifier(**values).fit(*blobs)
    for name, value in values.items():
        assert getattr(classifier, name) is value
    PrunedMLPClassifier(sparsity=7)  # constructors check nothing


@pytest.mark.parametrize("sizes", [8, (8,), [8], np.array([8]), np.int64(8)], ids=repr)
def test_widths_may_come_in_many_forms(blobs, make, sizes):
    assert [coef.shape for coef in make(hidden_layer_sizes=sizes).fit(*blobs).coefs_] == [(4, 8), (8, 3)]


@pytest.mark.parametrize("kind", [np.float32, np.float16, float], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("sparsity", [0.35, 0.9])
def test_numbers_of_numpy_are_sparsities(blobs, make, kind, sparsity):
    """However narrow, they mean the number they stand for, as in a path."""
    parameters = {"hidden_layer_sizes": (10, 300, 300), "max_iter": 1, "granularity": "unit"}
    classifier = make(**parameters, sparsity=kind(sparsity)).fit(*blobs)
    path = sparsity_path(make(**parameters), *blobs, sparsities=[kind(sparsity)])
    np.testing.assert_equal(classifier.masks_, path.masks[0])
    assert classifier.sparsity_ == path.frame["achieved_sparsity"][0] == pytest.approx(sparsity, abs=0.005)


def test_wide_weights_are_counted_whatever_the_type_of_sparsity(blobs, make):
    classifier = make(hidden_layer_sizes=(400, 400), max_iter=1, sparsity=np.float16(0.5)).fit(*blobs)
    assert classifier.sparsity_ == 0.5


def test_too_few_samples_to_hold_some_out_is_said_in_terms_of_the_parameters(digits, make):
    with pytest.raises(ValueError, match=r"early_stopping|validation_fraction"):
        make(early_stopping=True).fit(digits.X_train[:40], digits.y_train[:40])


@needs_no_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused(blobs, make, device):
    with pytest.raises(ValueError, match=rf"device='{device}' needs an NVIDIA GPU.*use device='cpu'"):
        make(device=device).fit(*blobs)


def test_bfloat16_is_close_to_float32(digits, make):
    exact = make(max_iter=10, sparsity=0.3).fit(digits.X_train, digits.y_train)
    rough = make(max_iter=10, sparsity=0.3, precision="bfloat16").fit(digits.X_train, digits.y_train)
    assert rough.precision_ == "bfloat16"
    assert rough.coefs_[0].dtype == np.float32
    assert rough.sparsity_ == exact.sparsity_
    np.testing.assert_allclose(rough.loss_curve_, exact.loss_curve_, atol=0.1)
    accuracies = [classifier.score(digits.X_test, digits.y_test) for classifier in (exact, rough)]
    assert abs(accuracies[0] - accuracies[1]) < 0.04
    probabilities = rough.predict_proba(digits.X_test)
    rough.set_params(precision="float32")
    np.testing.assert_allclose(rough.predict_proba(digits.X_test), probabilities, atol=0.05)
    assert (rough.predict_proba(digits.X_test) != probabilities).any()


# -- pruning ---------------------------------------------------------------------------------------------


@both_granularities
@pytest.mark.parametrize("fit_intercept", [False, True], ids=["no-biases", "biases"])
@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9])
def test_counts_are_exact(digits, make, granularity, fit_intercept, sparsity):
    classifier = make(granularity=granularity, fit_intercept=fit_intercept, sparsity=sparsity, max_iter=2)
    classifier.fit(digits.X_train[:300], digits.y_train[:300])
    sizes = (64, 24, 12, 10)
    if granularity == "weight":
        removed = [round(sparsity * 64 * 24), round(sparsity * 24 * 12)]
        left = 64 * 24 + 24 * 12 - sum(removed) + 120 + (46 if fit_intercept else 0)
        assert classifier.sparsity_ == pytest.approx(sum(removed) / (64 * 24 + 24 * 12))
        assert [np.count_nonzero(~mask) for mask in weight_masks(classifier)] == [*removed, 0]
        assert all(mask.all() for name, mask in classifier.masks_.items() if name.endswith("bias"))
    else:
        removed = [round(sparsity * 24), round(sparsity * 12)]
        widths = [64, 24 - removed[0], 12 - removed[1], 10]
        left = sum(n_in * n_out for n_in, n_out in pairwise(widths)) + (sum(widths[1:]) if fit_intercept else 0)
        assert classifier.sparsity_ == pytest.approx(sum(removed) / 36)
        assert [np.count_nonzero(~mask) for mask in unit_masks(classifier)] == [*removed, 0]
    assert classifier.n_nonzero_ == left
    counted = sum(np.count_nonzero(array) for array in (*classifier.coefs_, *classifier.intercepts_))
    assert counted == left
    for coef, mask in zip(classifier.coefs_, weight_masks(classifier), strict=True):
        np.testing.assert_array_equal(coef != 0, mask)
    assert len(classifier.coefs_) == len(sizes) - 1


def test_pruning_takes_the_smallest_trained_weights(digits, make):
    dense = make().fit(digits.X_train, digits.y_train)
    pruned = make(sparsity=0.5).fit(digits.X_train, digits.y_train)
    for before, after in zip(dense.coefs_[:-1], pruned.coefs_[:-1], strict=True):
        kept = after != 0
        np.testing.assert_array_equal(after[kept], before[kept])
        assert np.abs(before[~kept]).max() <= np.abs(before[kept]).min()
    np.testing.assert_array_equal(pruned.coefs_[-1], dense.coefs_[-1])


@pytest.mark.parametrize("fine_tune_iter", [0, 1])
@pytest.mark.parametrize("fit_intercept", [False, True], ids=["no-biases", "biases"])
@pytest.mark.parametrize("activation", ["relu", "logistic", "tanh", "identity"])
@both_granularities
def test_an_emptied_network_warns_and_guesses(digits, make, granularity, activation, fit_intercept, fine_tune_iter):
    classifier = make(
        sparsity=1.0,
        granularity=granularity,
        activation=activation,
        fit_intercept=fit_intercept,
        fine_tune_iter=fine_tune_iter,
        max_iter=1,
    )
    with pytest.warns(PruningWarning, match="removed every weight of layers 1, 2"):
        classifier.fit(digits.X_train[:200], digits.y_train[:200])
    probabilities = classifier.predict_proba(digits.X_test)
    assert np.isfinite(probabilities).all()
    assert (probabilities == probabilities[0]).all()
    assert len(set(classifier.predict(digits.X_test))) == 1
    assert classifier.score(digits.X_test, digits.y_test) < 0.2
    assert classifier.sparsity_ == 1.0


def test_a_single_emptied_layer_is_named(blobs, make):
    """Global pruning takes a layer of small weights, such as one with many inputs, as a whole."""
    classifier = make(hidden_layer_sizes=(200, 4), scope="global", sparsity=0.9, max_iter=1, learning_rate_init=1e-4)
    with pytest.warns(PruningWarning, match=r"every weight of layer 2:"):
        classifier.fit(*blobs)
    assert [mask.any() for mask in weight_masks(classifier)] == [True, False, True]


def test_nothing_is_warned_of_otherwise(digits, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(sparsity=0.9).fit(digits.X_train, digits.y_train).predict(digits.X_test)


@both_granularities
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_fine_tuning_keeps_zeros_and_brings_accuracy_back(digits, make, granularity, solver):
    parameters = {"granularity": granularity, "solver": solver, "sparsity": 0.9, "max_iter": 15, "alpha": 0.1}
    parameters |= {"learning_rate_init": 0.01 if solver == "adam" else 0.1, "hidden_layer_sizes": (64, 32)}
    if granularity == "unit":
        parameters["sparsity"] = 0.7
    pruned = make(**parameters).fit(digits.X_train, digits.y_train)
    tuned = make(**parameters, fine_tune_iter=5).fit(digits.X_train, digits.y_train)
    assert_equal(weight_masks(tuned), weight_masks(pruned))
    for coef, mask in zip(tuned.coefs_, weight_masks(tuned), strict=True):
        assert (coef[~mask] == 0).all()
    assert len(tuned.fine_tune_loss_curve_) == 5
    assert tuned.loss_curve_ == pruned.loss_curve_
    before, after = (classifier.score(digits.X_test, digits.y_test) for classifier in (pruned, tuned))
    assert after > before + 0.03
    assert after > 0.8


def test_fine_tuning_moves_nothing_of_a_removed_unit(digits, make):
    tuned = make(sparsity=0.5, granularity="unit", fit_intercept=True, fine_tune_iter=3)
    tuned.fit(digits.X_train, digits.y_train)
    for layer in range(2):
        gone = ~unit_masks(tuned)[layer]
        assert gone.any()
        assert (tuned.coefs_[layer][:, gone] == 0).all()
        assert (tuned.intercepts_[layer][gone] == 0).all()
        assert (tuned.coefs_[layer + 1][gone] == 0).all()


# -- going on from a fitted network ----------------------------------------------------------------------


@both_granularities
@pytest.mark.parametrize("fit_intercept", [False, True], ids=["no-biases", "biases"])
def test_warm_starts_prune_iteratively(digits, make, granularity, fit_intercept):
    classifier = make(warm_start=True, granularity=granularity, fit_intercept=fit_intercept, max_iter=2)
    history = []
    for sparsity in (0.0, 0.3, 0.6, 0.9):
        classifier.set_params(sparsity=sparsity).fit(digits.X_train, digits.y_train)
        assert classifier.n_iter_ == 2
        entries = unit_masks(classifier) if granularity == "unit" else weight_masks(classifier)
        assert [np.count_nonzero(~entry) for entry in entries[:-1]] == [
            round(sparsity * entry.size) for entry in entries[:-1]
        ]
        for coef, mask in zip(classifier.coefs_, weight_masks(classifier), strict=True):
            assert (coef[~mask] == 0).all()
        history.append((weight_masks(classifier), classifier.loss_curve_[0]))
    for (earlier, first_loss), (later, next_loss) in pairwise(history[:3]):
        assert all(not (after & ~before).any() for before, after in zip(earlier, later, strict=True))
        assert next_loss < first_loss  # it went on, and did not start again


def test_iterative_pruning_beats_pruning_at_once(digits, make):
    """And what is pruned in between is really trained around."""
    at_once = make(sparsity=0.9, max_iter=12).fit(digits.X_train, digits.y_train)
    slowly = make(warm_start=True, max_iter=3)
    for sparsity in (0.5, 0.7, 0.85, 0.9):
        slowly.set_params(sparsity=sparsity).fit(digits.X_train, digits.y_train)
    scores = [classifier.score(digits.X_test, digits.y_test) for classifier in (at_once, slowly)]
    assert scores[1] > scores[0] + 0.1


def test_without_warm_start_a_fit_forgets(blobs, make):
    twice = make(sparsity=0.5).fit(*blobs).set_params(sparsity=0.0).fit(*blobs)
    assert_same_model(twice, make().fit(*blobs), blobs[0])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@both_granularities
def test_a_lower_sparsity_is_reported_as_what_is_really_gone(blobs, make, granularity, method):
    classifier = make(warm_start=True, sparsity=0.5, granularity=granularity, fit_intercept=True)
    getattr(classifier, method)(*blobs)
    masks, biases = weight_masks(classifier), unit_masks(classifier)
    getattr(classifier.set_params(sparsity=0.25), method)(*blobs)
    assert_equal(weight_masks(classifier), masks)
    assert_equal(unit_masks(classifier), biases)
    assert classifier.sparsity_ == 0.5


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_the_biases_of_removed_units_stay_removed_when_weights_are_pruned_next(blobs, make, method):
    classifier = make(warm_start=True, sparsity=0.5, granularity="unit", fit_intercept=True)
    getattr(classifier, method)(*blobs)
    kept = unit_masks(classifier)
    getattr(classifier.set_params(granularity="weight", sparsity=0.8), method)(*blobs)
    for before, after, bias in zip(kept, unit_masks(classifier), classifier.intercepts_, strict=True):
        assert not (after & ~before).any()
        assert (bias[~before] == 0).all()


@pytest.mark.parametrize("sizes", [(20, 10), (24,), (24, 12, 6)], ids=str)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_another_architecture_cannot_go_on(blobs, make, method, sizes):
    classifier = make(warm_start=True).fit(*blobs)
    classifier.set_params(hidden_layer_sizes=sizes)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        getattr(classifier, method)(*blobs)


def test_other_classes_cannot_go_on(blobs, make):
    X, y = blobs
    classifier = make(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="classes must stay"):
        classifier.fit(X, y + 1)


def test_partial_fit_in_batches_learns(digits, make):
    classifier = make()
    for _ in range(5):
        for rows in np.array_split(np.arange(1200), 4):
            classifier.partial_fit(digits.X_train[rows], digits.y_train[rows], classes=np.arange(10))
    assert classifier.score(digits.X_test, digits.y_test) > 0.85
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 20


def test_partial_fit_is_fit_for_one_full_batch(blobs, make):
    """In full batches, whose order does not matter, so many calls are as good as so many epochs."""
    stepwise = make(batch_size=90)
    for _ in range(5):
        stepwise.partial_fit(*blobs)
    whole = make(batch_size=90, tol=-np.inf).fit(*blobs)
    for one, other in zip(stepwise.coefs_, whole.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stepwise.loss_curve_, whole.loss_curve_, rtol=1e-4)


@both_granularities
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_partial_fit_holds_its_masks_and_prunes_further(digits, make, granularity, criterion):
    X, y = digits.X_train, digits.y_train
    classifier = make(sparsity=0.5, granularity=granularity, criterion=criterion, fit_intercept=True).partial_fit(X, y)
    first = weight_masks(classifier)
    for _ in range(2):
        before = [coef.copy() for coef in classifier.coefs_]
        classifier.partial_fit(X, y)
        assert_equal(weight_masks(classifier), first)
        for coef, mask, old in zip(classifier.coefs_, first, before, strict=True):
            assert (coef[~mask] == 0).all()
            assert (coef[mask] != old[mask]).mean() > 0.5
    classifier.set_params(sparsity=0.75).partial_fit(X, y)
    for coef, mask, before in zip(classifier.coefs_, weight_masks(classifier), first, strict=True):
        assert not (mask & ~before).any()
        assert (coef[~mask] == 0).all()
    entries = unit_masks(classifier) if granularity == "unit" else weight_masks(classifier)
    assert [np.count_nonzero(~entry) for entry in entries[:-1]] == [round(0.75 * e.size) for e in entries[:-1]]


@pytest.mark.parametrize("solvers", [("adam", "sgd"), ("sgd", "adam")], ids=str)
def test_another_solver_starts_without_the_memory_of_the_first(blobs, make, solvers):
    def half_trained():
        classifier = make(solver=solvers[0], batch_size=90).partial_fit(*blobs)
        return classifier.set_params(solver=solvers[1])

    changed, fresh = half_trained(), half_trained()
    fresh.optimiser_state_ = None
    for one, other in zip(changed.partial_fit(*blobs).coefs_, fresh.partial_fit(*blobs).coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)  # full batches: the order does not matter


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("biases", [False, True])
def test_biases_may_come_and_go(blobs, make, method, biases):
    classifier = make(warm_start=True, sparsity=0.5, fit_intercept=not biases)
    getattr(classifier, method)(*blobs)
    getattr(classifier.set_params(fit_intercept=biases), method)(*blobs)
    assert any(bias.any() for bias in classifier.intercepts_) is biases
    assert classifier.score(*blobs) > 0.5


def test_partial_fit_knows_its_classes(blobs, make):
    X, y = blobs
    classifier = make().partial_fit(X[y < 2], y[y < 2], classes=[2, 0, 1])
    np.testing.assert_array_equal(classifier.classes_, [0, 1, 2])
    assert classifier.partial_fit(X[y == 2], y[y == 2]).predict_proba(X).shape == (90, 3)
    with pytest.raises(ValueError, match=r"not among the classes.*\[5\]"):
        classifier.partial_fit(X[:4], [0, 1, 2, 5])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        classifier.partial_fit(X, y, classes=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="2 classes"):
        make().partial_fit(X[y == 0], y[y == 0])


def test_partial_fit_may_follow_fit_and_fit_starts_again(blobs, make):
    classifier = make(sparsity=0.5).fit(*blobs)
    masks = weight_masks(classifier)
    classifier.partial_fit(*blobs)
    assert_equal(weight_masks(classifier), masks)
    assert_same_model(classifier.fit(*blobs), make(sparsity=0.5).fit(*blobs), blobs[0])


# -- three ways, one result ------------------------------------------------------------------------------

WAYS = [
    {"granularity": "weight"},
    {"granularity": "unit"},
    {"granularity": "weight", "fine_tune_iter": 2},
    {"granularity": "unit", "fine_tune_iter": 2, "fit_intercept": True},
    {"granularity": "weight", "scope": "global", "early_stopping": True},
    {"granularity": "unit", "criterion": "random", "prune_output": True, "solver": "sgd"},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_fit_path_and_grid_search_agree_bit_for_bit(digits, make, tmp_path, way):
    X, y = digits.X_train[:400], digits.y_train[:400]
    sparsities = [0.0, 0.5, 0.8]
    classifier = make(**way, max_iter=3)
    path = sparsity_path(classifier, X, y, sparsities=sparsities, X_test=digits.X_test, y_test=digits.y_test)
    for index, sparsity in enumerate(sparsities):
        fitted = clone(classifier).set_params(sparsity=sparsity).fit(X, y)
        cached = clone(classifier).set_params(sparsity=sparsity, memory=str(tmp_path)).fit(X, y)
        assert_same_model(fitted, cached, digits.X_test)
        np.testing.assert_equal(path.tensors[index], fitted.tensors_)
        np.testing.assert_equal(path.masks[index], fitted.masks_)
        assert path.frame["accuracy"][index] == fitted.score(digits.X_test, digits.y_test)
        assert path.frame["achieved_sparsity"][index] == fitted.sparsity_
        assert path.frame["nonzero"][index] == fitted.n_nonzero_
        assert path.frame["seed"][index] == fitted.seed_

    folds = list(StratifiedKFold(2).split(X, y))
    searched = clone(classifier).set_params(memory=str(tmp_path))
    search = GridSearchCV(searched, {"sparsity": sparsities}, cv=folds, error_score="raise").fit(X, y)
    plain = clone(classifier).set_params(sparsity=search.best_params_["sparsity"]).fit(X, y)
    assert_same_model(search.best_estimator_, plain, digits.X_test)
    for fold, (train, test) in enumerate(folds):
        path = sparsity_path(classifier, X[train], y[train], sparsities=sparsities, X_test=X[test], y_test=y[test])
        np.testing.assert_array_equal(path.frame["accuracy"], search.cv_results_[f"split{fold}_test_score"])


def trainings(classifier, X, y, **fit_parameters) -> int:
    """How many epochs of dense training a fit really takes."""
    events = []
    classifier.fit(X, y, **fit_parameters, on_event=events.append)
    return sum(getattr(event, "phase", "") == "training" and hasattr(event, "validation_score") for event in events)


@pytest.mark.parametrize("kind", [str, Path, joblib.Memory], ids=["str", "Path", "Memory"])
def test_memory_may_come_in_three_forms(blobs, make, tmp_path, kind):
    memory = joblib.Memory(tmp_path, verbose=0) if kind is joblib.Memory else kind(tmp_path)
    first, second = make(memory=memory), make(memory=memory)
    assert trainings(first, *blobs) == 5
    assert trainings(second, *blobs) == 0
    assert_same_model(first, second, blobs[0])


def test_memory_that_maps_its_files_will_do(blobs, make, tmp_path):
    memory = joblib.Memory(tmp_path, verbose=0, mmap_mode="r")
    expected = make(sparsity=0.5, fine_tune_iter=1).fit(*blobs)
    for _ in range(2):
        classifier = make(sparsity=0.5, fine_tune_iter=1, memory=memory).fit(*blobs)
        assert_same_model(classifier, expected, blobs[0])
    classifier.partial_fit(*blobs)


@pytest.mark.parametrize(
    "changes",
    [
        {"sparsity": 0.5},
        {"granularity": "unit"},
        {"criterion": "random"},
        {"scope": "global"},
        {"norm": 1},
        {"order": "largest"},
        {"prune_output": True},
        {"fine_tune_iter": 1},
        {"validation_fraction": 0.3},
    ],
    ids=str,
)
def test_what_only_prunes_does_not_train_again(blobs, make, tmp_path, changes):
    make(memory=str(tmp_path)).fit(*blobs)
    changed = make(memory=str(tmp_path), **changes)
    assert trainings(changed, *blobs) == 0
    assert_same_model(changed, make(**changes).fit(*blobs), blobs[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"random_state": 1},
        {"hidden_layer_sizes": (12, 24)},
        {"activation": "tanh"},
        {"solver": "sgd"},
        {"alpha": 0.5},
        {"batch_size": 30},
        {"learning_rate_init": 0.02},
        {"max_iter": 4},
        {"tol": 1.0},
        {"n_iter_no_change": 1},
        {"early_stopping": True},
        {"fit_intercept": True},
        {"precision": "bfloat16"},
        {"momentum": 0.5},
    ],
    ids=str,
)
def test_what_changes_the_training_trains_again(blobs, make, tmp_path, changes):
    base = {"solver": "sgd"} if "momentum" in changes else {}
    make(memory=str(tmp_path), **base).fit(*blobs)
    changed = make(memory=str(tmp_path), **{**base, **changes})
    assert trainings(changed, *blobs) > 0
    assert_same_model(changed, make(**{**base, **changes}).fit(*blobs), blobs[0])


def test_other_data_train_again(blobs, make, tmp_path):
    X, y = blobs
    memory = str(tmp_path)
    make(memory=memory).fit(X, y)
    nudged = X.copy()
    nudged[-1, -1] = np.nextafter(nudged[-1, -1], np.float32(9))
    swapped = y.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    weights = np.ones(90)
    assert trainings(make(memory=memory), nudged, y) == 5
    assert trainings(make(memory=memory), X, swapped) == 5
    assert trainings(make(memory=memory), X[::-1], y[::-1]) == 5
    assert trainings(make(memory=memory), X.reshape(45, 8), y[:45]) == 5
    assert trainings(make(memory=memory), X, y, sample_weight=weights) == 5
    weights[3] = 2
    assert trainings(make(memory=memory), X, y, sample_weight=weights) == 5
    assert trainings(make(memory=memory), X, y, sample_weight=weights) == 0


def test_labels_of_another_name_share_a_training(blobs, make, tmp_path):
    X, y = blobs
    make(memory=str(tmp_path)).fit(X, y)
    renamed = make(memory=str(tmp_path))
    assert trainings(renamed, X, np.array(["a", "b", "c"])[y]) == 0
    assert set(renamed.predict(X)) <= {"a", "b", "c"}


def test_without_a_fixed_seed_nothing_is_cached(blobs, make, tmp_path):
    for state in (None, np.random.RandomState(0)):
        for _ in range(2):
            assert trainings(make(memory=str(tmp_path), random_state=state), *blobs) == 5
    assert not any(tmp_path.rglob("*.pkl"))


def test_what_goes_on_from_a_fitted_network_is_not_taken_from_memory(blobs, make, tmp_path):
    cached, plain = (make(warm_start=True, sparsity=0.5, memory=memory) for memory in (str(tmp_path), None))
    for _ in range(3):
        assert trainings(cached, *blobs) == 5
        assert_same_model(cached, plain.fit(*blobs), blobs[0])


def test_what_comes_from_memory_may_be_changed(blobs, make, tmp_path):
    """Nobody else gets to see it."""
    first = make(memory=str(tmp_path)).fit(*blobs)
    expected = first.predict_proba(blobs[0])
    first.coefs_[0][:] = 0
    np.testing.assert_array_equal(make(memory=str(tmp_path)).fit(*blobs).predict_proba(blobs[0]), expected)


def test_a_grid_search_with_memory_trains_once_a_fold(blobs, make, tmp_path, capfd):
    """Two folds and the fit on all the data: three trainings of one epoch, for five sparsities."""
    classifier = make(memory=str(tmp_path), verbose=True, max_iter=1)
    GridSearchCV(classifier, {"sparsity": [0, 0.2, 0.4, 0.6, 0.8]}, cv=2).fit(*blobs)
    assert capfd.readouterr().out.count("Epoch 1 of 1 (training)") == 3


# -- scikit-learn's tools --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(blobs, make):
    return make(sparsity=0.5, max_iter=20, fit_intercept=True).fit(*blobs)


def test_clone_is_unfitted_and_fits_the_same(fitted, blobs):
    cloned = clone(fitted)
    assert not hasattr(cloned, "coefs_")
    assert cloned.get_params() == fitted.get_params()
    assert_same_model(cloned.fit(*blobs), fitted, blobs[0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c)), copy.copy])
def test_copies_predict_the_same_and_can_go_on(fitted, blobs, copied):
    twin = copied(fitted)
    assert_same_model(twin, fitted, blobs[0])
    before = fitted.predict_proba(blobs[0])
    twin.partial_fit(*blobs)
    np.testing.assert_array_equal(fitted.predict_proba(blobs[0]), before)


def test_a_pickle_in_the_middle_of_partial_fit_changes_nothing(blobs, make):
    straight = make(sparsity=0.3).partial_fit(*blobs)
    resumed = pickle.loads(pickle.dumps(straight))
    assert_same_model(resumed.partial_fit(*blobs), straight.partial_fit(*blobs), blobs[0])


def test_fitted_state_holds_no_tensors(fitted):
    assert b"torch" not in pickle.dumps(fitted)


def test_other_processes_get_read_only_arrays(fitted, blobs):
    expected = fitted.predict_proba(blobs[0])
    tasks = (joblib.delayed(fitted.predict_proba)(blobs[0]) for _ in range(2))
    for result in joblib.Parallel(n_jobs=2, max_nbytes=1)(tasks):
        np.testing.assert_array_equal(result, expected)


def test_fitting_in_other_processes_gives_the_same(blobs, make):
    classifiers = [make(random_state=seed, sparsity=0.5, fine_tune_iter=1) for seed in range(2)]
    tasks = (joblib.delayed(classifier.fit)(*blobs) for classifier in classifiers)
    for elsewhere, here in zip(joblib.Parallel(n_jobs=2, max_nbytes=1)(tasks), classifiers, strict=True):
        assert_same_model(elsewhere, clone(here).fit(*blobs), blobs[0])


def test_a_pipeline(blobs, make):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), make(max_iter=20, sparsity=0.3))
    pipeline.fit(X * 1000 + 5, y)
    assert pipeline.score(X * 1000 + 5, y) > 0.95
    pipeline.set_params(prunedmlpclassifier__sparsity=0.5).fit(X, y)
    assert pipeline[-1].sparsity_ == 0.5


def test_calibration(blobs, make):
    X, y = blobs
    calibrated = CalibratedClassifierCV(make(max_iter=20, sparsity=0.3), cv=3).fit(X, y)
    assert log_loss(y, calibrated.predict_proba(X)) < 0.5


def test_cross_validation(blobs, make):
    X, y = blobs
    scores = cross_val_score(make(max_iter=20, sparsity=0.3), X, y, cv=3, error_score="raise")
    assert scores.shape == (3,)
    assert scores.min() > 0.9
    predicted = cross_val_predict(make(max_iter=20), X, y, cv=3, method="predict_proba")
    assert (predicted.argmax(axis=1) == y).mean() > 0.9


def test_permutation_importance(blobs, make):
    X, y = blobs
    X = np.column_stack([X[:, :3], np.zeros(90)])
    classifier = make(max_iter=20, sparsity=0.3).fit(X, y)
    importances = permutation_importance(classifier, X, y, n_repeats=3, random_state=0).importances_mean
    assert importances[:3].max() > 0.1
    assert importances[3] == 0


def test_weights_reach_it_through_a_search(blobs, make):
    X, y = blobs
    search = GridSearchCV(make(), {"sparsity": [0, 0.5]}, cv=2).fit(X, y, sample_weight=np.ones(90))
    assert search.best_score_ > 0.5


# -- fits that fail ------------------------------------------------------------------------------------------


class Enough(Exception):  # noqa: N818 (it is not an error)
    pass


def stop(_):
    raise Enough


def test_a_first_fit_that_fails_leaves_nothing(blobs, make):
    classifier = make(learning_rate_init=1e30)
    with pytest.raises(ValueError, match="diverged"):
        classifier.fit(*blobs)
    with pytest.raises(NotFittedError):
        classifier.predict(blobs[0])
    assert not [name for name in vars(classifier) if name.endswith("_")]


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_later_fit_that_fails_leaves_what_was(blobs, make, warm_start):
    X, y = blobs
    classifier = make(warm_start=warm_start).fit(X, y)
    before = classifier.predict_proba(X)
    other = (X, y) if warm_start else (X[:, :2], np.array(["b", "d", "j"])[y])
    with pytest.raises(Enough):
        classifier.fit(*other, on_event=stop)
    np.testing.assert_array_equal(classifier.predict_proba(X), before)
    assert set(classifier.classes_) == set(y)
    with pytest.raises(ValueError):
        classifier.partial_fit(X, np.full(len(X), 99))
    np.testing.assert_array_equal(classifier.predict_proba(X), before)


def test_partial_fit_has_no_end_to_let_the_step_size_fall_to(blobs, make):
    with pytest.raises(ValueError, match="learning_rate='constant'"):
        make(learning_rate="cosine").partial_fit(*blobs)
