"""A fitted classifier keeps its fitted state when its parameters are changed."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators import (
    PrunedClassifierCV,
    PrunedCNNClassifier,
    PrunedMLPClassifier,
    PruningWarning,
    sparsity_path,
)
from prunelab.estimators.files import pack_arrays, unpack_arrays
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.parameters import DEFAULTS
from prunelab.estimators.parameters.records import (
    ACTIVATIONS,
    FINE_TUNE_SCHEDULES,
    INITS,
    LEARNING_RATES,
    SOLVERS,
)
from prunelab.estimators.persistence import FORMAT, VERSION
from prunelab.estimators.pruning.catalogue import DISTRIBUTIONS, NORMALIZATIONS, REDUCTIONS
from prunelab.estimators.pruning.criteria import criterion_names
from prunelab.estimators.pruning.patterns import USUAL_PATTERNS
from prunelab.estimators.schedules.catalogue import CONTROLS, SCHEDULES
from sklearn.base import clone

#: Values that each parameter can have. Everything that a classifier has must be here.
VALUES = {
    "hidden_layer_sizes": st.one_of(st.integers(1, 9), st.lists(st.integers(1, 9), max_size=4).map(tuple)),
    "activation": st.sampled_from(ACTIVATIONS),
    "solver": st.sampled_from(SOLVERS),
    "alpha": st.floats(0, 1),
    "batch_size": st.integers(1, 200),
    "learning_rate": st.sampled_from(LEARNING_RATES),
    "learning_rate_init": st.floats(1e-6, 10),
    "momentum": st.floats(0, 0.99),
    "max_grad_norm": st.none() | st.floats(0.01, 100),
    "max_iter": st.integers(1, 50),
    "tol": st.floats(-1, 1),
    "n_iter_no_change": st.integers(1, 50),
    "early_stopping": st.sampled_from([False, True, "measure"]),
    "validation_fraction": st.floats(0.1, 0.9),
    "random_state": st.one_of(st.none(), st.integers(0, 2**31)),
    "verbose": st.booleans(),
    "warm_start": st.booleans(),
    "class_weight": st.sampled_from([None, "balanced", {0: 2.0, 1: 0.5, 2: 1.0}]),
    "fit_intercept": st.booleans(),
    "init": st.sampled_from(INITS),
    "sparsity": st.floats(0, 1) | st.dictionaries(st.sampled_from(["hidden1", "output.weight"]), st.floats(0, 1)),
    "criterion": st.sampled_from(criterion_names()),
    "granularity": st.sampled_from(["weight", "unit"]),
    "scope": st.sampled_from(["layer", "global"]),
    "norm": st.sampled_from([1, 2, np.inf, "inf"]),
    "order": st.sampled_from(["smallest", "largest"]),
    "prune_output": st.sampled_from([False, True, "half"]),
    "schedule": st.sampled_from(SCHEDULES),
    "fine_tune_iter": st.integers(0, 5),
    "n_rounds": st.one_of(st.integers(1, 9), st.just("auto")),
    "rewind_step": st.integers(0, 9),
    "exclude_layers": st.sampled_from([(), ("hidden1",)]),
    "min_kept": st.sampled_from([0, 3, 0.2]),
    "distribution": st.sampled_from(DISTRIBUTIONS),
    "pattern": st.sampled_from(USUAL_PATTERNS),
    "reduce": st.sampled_from(REDUCTIONS),
    "normalize": st.sampled_from(NORMALIZATIONS),
    "per_output": st.booleans(),
    "control": st.sampled_from(CONTROLS),
    "fine_tune_learning_rate": st.one_of(st.none(), st.floats(1e-6, 1)),
    "fine_tune_schedule": st.sampled_from(FINE_TUNE_SCHEDULES),
    "device": st.sampled_from(["cpu", "cuda:7"] if torch.cuda.is_available() else ["cpu", "auto", "cuda", "cuda:7"]),
    "precision": st.sampled_from(["auto", "float32", "bfloat16"]),
    "memory": st.sampled_from([None, "cache"]),
}
some_parameters = st.fixed_dictionaries({}, optional=VALUES)

#: Values that cannot be, of the parameters that a prediction could be tempted to read.
IMPOSSIBLE = {
    "hidden_layer_sizes": "many",
    "activation": "step",
    "fit_intercept": "perhaps",
    "init": None,
    "precision": "int8",
    "prune_output": 3,
    "norm": "none",
}

FITS = {
    "biases": {"fit_intercept": True, "sparsity": 0.5},
    "no biases": {"activation": "tanh", "sparsity": 0.3, "granularity": "unit"},
    "constants": {"activation": "logistic", "sparsity": 0.9, "scope": "global"},
}


@pytest.fixture(scope="module", params=FITS.values(), ids=FITS.keys())
def fitted(request, blobs, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        return make(hidden_layer_sizes=(6, 5), **request.param).fit(*blobs)


def fitted_state(classifier) -> dict:
    return {name: value for name, value in vars(classifier).items() if name.endswith("_")}


def assert_same_state(classifier, other):
    mine, theirs = fitted_state(classifier), fitted_state(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_equal(theirs[name], value)


def there_and_back(classifier, folder):
    classifier.save(folder / "model.safetensors")
    return PrunedMLPClassifier.load(folder / "model.safetensors")


def test_every_parameter_is_varied():
    assert VALUES.keys() == DEFAULTS.keys() == PrunedMLPClassifier().get_params().keys()


@given(parameters=some_parameters)
@settings(max_examples=40, deadline=None)
def test_parameters_set_after_the_fit_change_nothing_fitted(fitted, blobs, tmp_path_factory, parameters):
    X, y = blobs
    expected = fitted.predict_proba(X)
    changed = copy.deepcopy(fitted).set_params(**parameters)
    saved = there_and_back(changed, tmp_path_factory.getbasetemp())
    for twin in (changed, copy.copy(changed), copy.deepcopy(changed), pickle.loads(pickle.dumps(changed)), saved):
        np.testing.assert_array_equal(twin.predict_proba(X), expected)
        np.testing.assert_array_equal(twin.predict(X), fitted.predict(X))
        assert twin.score(X, y) == fitted.score(X, y)
        assert_same_state(twin, fitted)
    for name, value in changed.get_params().items():
        if name not in ("memory", "norm"):
            assert getattr(saved, name) == value


@given(parameters=some_parameters)
@settings(max_examples=15, deadline=None)
def test_pruning_by_hand_starts_from_what_was_fitted(fitted, blobs, tmp_path_factory, parameters):
    way = {"criterion": "magnitude", "granularity": "weight", "scope": "layer", "norm": 2, "order": "smallest"}
    ranking = {"prune_output": True, "per_output": False, "reduce": "auto", "normalize": "auto"}
    ranking |= {"exclude_layers": (), "min_kept": 0, "distribution": "auto", "pattern": "none"}
    changed = copy.deepcopy(fitted).set_params(**{**parameters, **ranking})
    reference = copy.deepcopy(fitted).set_params(**ranking)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        one, other = (InteractivePruning(classifier, *blobs, *blobs) for classifier in (changed, reference))
        assert one.before.accuracy == other.before.accuracy
        cut, expected = one.prune(0.4, **way), other.prune(0.4, **way)
        assert one.scores(cut).loss == other.scores(expected).loss
        assert (cut.layers, cut.cost) == (expected.layers, expected.cost)
        saved = there_and_back(one.to_classifier(cut), tmp_path_factory.getbasetemp())
        pruned = other.to_classifier(expected)
    np.testing.assert_array_equal(saved.predict_proba(blobs[0]), pruned.predict_proba(blobs[0]))


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE.items())
def test_an_impossible_value_changes_no_prediction_and_is_not_saved(fitted, blobs, tmp_path, name, value):
    changed = copy.deepcopy(fitted).set_params(**{name: value})
    np.testing.assert_array_equal(changed.predict_proba(blobs[0]), fitted.predict_proba(blobs[0]))
    with pytest.raises(ValueError, match=f"{name} must be"):
        changed.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=f"{name} must be"):
        InteractivePruning(changed, *blobs, *blobs)


def test_one_fitted_in_bfloat16_predicts_in_float32_if_asked(blobs, make):
    X, _ = blobs
    fitted = make(precision="bfloat16").fit(*blobs)
    coarse = fitted.predict_proba(X)
    fine = fitted.set_params(precision="float32").predict_proba(X)
    assert 0 < np.abs(fine - coarse).max() < 0.05
    plain = make().fit(*blobs)
    expected = plain.predict_proba(X)
    np.testing.assert_array_equal(plain.set_params(precision="bfloat16").predict_proba(X), expected)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_another_activation_cannot_go_on(blobs, make, method):
    classifier = make(warm_start=True).fit(*blobs).set_params(activation="tanh")
    with pytest.raises(ValueError, match="activation='tanh' cannot go on from the fitted 'relu'"):
        getattr(classifier, method)(*blobs)
    assert classifier.network_.activation == "relu"


@pytest.mark.parametrize("changes", [{"sparsity": 0.8}, {"granularity": "unit"}, {"prune_output": True}], ids=str)
def test_a_loaded_classifier_goes_on_as_the_one_that_was_saved(blobs, make, tmp_path, changes):
    """Also when parameters of the pruning were set before it was saved: the next call prunes again."""
    classifier = make(sparsity=0.5).partial_fit(*blobs).set_params(**changes)
    classifier.optimiser_state_ = None  # files do not keep it
    loaded = there_and_back(classifier, tmp_path)
    np.testing.assert_equal(loaded.partial_fit(*blobs).masks_, classifier.partial_fit(*blobs).masks_)
    np.testing.assert_equal(loaded.coefs_, classifier.coefs_)


def test_files_without_the_network_load(blobs, make, tmp_path):
    fitted = make(sparsity=0.5, fit_intercept=True, activation="tanh", norm=np.inf).fit(*blobs)
    fitted.save(tmp_path / "new")
    file = unpack_arrays((tmp_path / "new").read_bytes(), FORMAT, VERSION)
    left_out = ("sha256", "format", "version", "network", "pruned_as")
    header = {name: value for name, value in file.header.items() if name not in left_out}
    (tmp_path / "old").write_bytes(pack_arrays(file.arrays, header, FORMAT, VERSION))
    loaded = PrunedMLPClassifier.load(tmp_path / "old")
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), fitted.predict_proba(blobs[0]))
    assert_same_state(loaded, fitted)


def test_a_refit_follows_the_parameters_again(blobs, make):
    classifier = make().fit(*blobs).set_params(hidden_layer_sizes=(7,), activation="tanh", fit_intercept=True)
    classifier.fit(*blobs)
    assert (classifier.network_.sizes, classifier.network_.activation) == ((4, 7, 3), "tanh")
    assert classifier.network_.fit_intercept


def test_the_search_keeps_what_it_fitted(blobs, make):
    search = PrunedClassifierCV(make(), sparsities=[0.3], cv=2).fit(*blobs)
    expected = search.predict_proba(blobs[0])
    search.set_params(estimator__activation="tanh", estimator__hidden_layer_sizes=(3,), sparsities=[0.9])
    np.testing.assert_array_equal(search.predict_proba(blobs[0]), expected)


@pytest.mark.parametrize(
    ("fitted_on", "given"),
    [((3, 4, 4), (4, 4, 3)), ((4, 12), (12, 4)), ((2, 6, 6), (3, 6, 4)), ((1, 6, 8), (8, 6))],
    ids=str,
)
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_images_of_another_shape_are_refused(network, fitted_on, given, make, tmp_path):
    """They have as many pixels, in other places."""
    rng = np.random.default_rng(0)
    X, y = rng.random((30, *fitted_on), dtype=np.float32), np.arange(30) % 3
    classifier = make() if network == "mlp" else PrunedCNNClassifier((2,), kernel_size=1, pooling=1, max_iter=1)
    classifier.set_params(warm_start=True).fit(X, y).save(tmp_path / "model")
    search = PrunedClassifierCV(clone(classifier), sparsities=[0.0], cv=2).fit(X, y)
    other = X.reshape(30, *given)
    for fitted in (classifier, type(classifier).load(tmp_path / "model"), search):
        assert fitted.sample_shape_[-len(fitted_on) :] == fitted_on
        np.testing.assert_array_equal(fitted.predict(X.reshape(30, -1)), fitted.predict(X))
        with pytest.raises(ValueError, match="the fitted ones have the shape"):
            fitted.predict(other)
    for method in (classifier.fit, classifier.partial_fit):
        with pytest.raises(ValueError, match="the fitted ones have the shape"):
            method(other, y)
    with pytest.raises(ValueError, match="the fitted ones have the shape"):
        sparsity_path(classifier, X, y, X_test=other, y_test=y)
    with pytest.raises(ValueError, match="the fitted ones have the shape"):
        InteractivePruning(classifier, X, y, other, y)


def test_a_single_channel_may_be_left_out(digits, make):
    images = digits.X_train[:60].reshape(-1, 8, 8)
    for classifier in (make(), PrunedCNNClassifier((2,), kernel_size=3, max_iter=1)):
        classifier.fit(images, digits.y_train[:60])
        np.testing.assert_array_equal(classifier.predict(images[:, None]), classifier.predict(images))
