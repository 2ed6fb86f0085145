"""The convolutional classifier: the same promises as the perceptron's, and what a sample is."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from prunelab.estimators import (
    PrunedClassifierCV,
    PrunedCNNClassifier,
    PrunedMLPClassifier,
    PruningWarning,
    iter_sparsity_path,
    sparsity_path,
)
from prunelab.estimators.checkpoints import load_checkpoint, save_checkpoint
from prunelab.estimators.engine import prepare, problem_of
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.parameters import check_value
from prunelab.estimators.pruning.compact import compact
from prunelab.estimators.pruning.criteria import criterion_names
from prunelab.estimators.schedules.catalogue import SCHEDULES
from prunelab.estimators.schedules.penalties import GatedNetwork
from prunelab.estimators.training import loop
from prunelab.estimators.training.events import BatchEnded
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

from .test_sklearn_conventions import EXPECTED_FAILURES

DIGITS = load_digits()
X, Y = (DIGITS.images / 8 - 1).astype(np.float32)[:600], DIGITS.target[:600]
SETTINGS = {"kernel_size": 3, "hidden_layer_sizes": (12,), "max_iter": 3, "random_state": 0, "device": "cpu"}
NETWORKS = {
    "lenet": {"channels": (6, 8), "padding": "same"},
    "batch norm": {"channels": (6,), "batch_norm": True},
    "no pooling": {"channels": (4, 4), "pooling": 1, "hidden_layer_sizes": ()},
}
#: Maps that are no square, zeros around them, an even kernel, and normalisation.
OBLONG = {"channels": (4, 5), "kernel_size": 2, "sample_shape": (4, 16), "activation": "relu", "batch_norm": True}


def make(**parameters) -> PrunedCNNClassifier:
    return PrunedCNNClassifier(**{"channels": (6, 8), "padding": "same", **SETTINGS, **parameters})


@parametrize_with_checks(
    [PrunedCNNClassifier((8,), kernel_size=3, padding="same", pooling=1, hidden_layer_sizes=(16,), device="cpu")],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
    xfail_strict=False,  # within the check's tolerance on some machines
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_it_learns_the_digits_and_pruning_a_half_costs_little():
    settings = {"channels": (16, 32), "hidden_layer_sizes": (64,), "max_iter": 10, "batch_size": 32}
    images = (DIGITS.images / 8 - 1).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(images, DIGITS.target, random_state=0, stratify=DIGITS.target)
    dense, pruned = (make(sparsity=sparsity, **settings).fit(X_train, y_train) for sparsity in (0, 0.5))
    assert dense.score(X_test, y_test) > 0.95
    assert pruned.score(X_test, y_test) > dense.score(X_test, y_test) - 0.1


@pytest.mark.parametrize("network", [*NETWORKS.values(), OBLONG], ids=[*NETWORKS, "oblong"])
@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("criterion", criterion_names())
def test_counts_are_exact_and_the_smaller_network_puts_out_the_same(criterion, granularity, network):
    """For every criterion: masked and compact networks agree in float64."""
    path = iter_sparsity_path(
        make(criterion=criterion, granularity=granularity, **network),
        X[:200].reshape(200, -1),
        Y[:200],
        sparsities=[0, 0.33, 0.5, 0.9, 1],
    )
    rows = torch.from_numpy(X[:20].reshape(20, -1)).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        for point in path:
            sparsity, masks = point.row["sparsity"], point.model.pruned.masks
            if granularity == "unit":
                ranked = [masks[f"{g.name}.{'scale' if f'{g.name}.scale' in masks else 'bias'}"]
                          for g in point.network.hidden_groups]  # fmt: skip
            else:
                ranked = [masks[record.name] for record in point.network.weights if not record.is_output]
            assert [int((~mask).sum()) for mask in ranked] == [round(sparsity * mask.size) for mask in ranked]
            tensors = {name: array.astype(np.float64) for name, array in point.model.tensors.items()}
            smaller = compact(point.network, tensors)
            logits = [
                network.forward({name: torch.from_numpy(array) for name, array in arrays.items()}, rows).numpy()
                for network, arrays in ((point.network, tensors), (smaller.network, smaller.tensors))
            ]
            np.testing.assert_allclose(*logits, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_every_schedule_keeps_what_it_removes_at_zero_and_agrees_with_its_path(schedule, granularity, network):
    if granularity == "unit" and schedule in ("set", "rigl", "synaptic"):
        return
    classifier = make(schedule=schedule, granularity=granularity, n_rounds=2, fine_tune_iter=1, **network)
    fitted = copy.deepcopy(classifier).set_params(sparsity=0.5).fit(X[:200], Y[:200])
    (point,) = iter_sparsity_path(classifier, X[:200], Y[:200], sparsities=[0.5])
    np.testing.assert_equal(point.model.tensors, fitted.tensors_)
    assert fitted.sparsity_ == pytest.approx(0.5, abs=0.05)
    for name, mask in fitted.masks_.items():
        assert not fitted.tensors_[name][~mask].any()
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_fit_path_and_grid_search_agree_bit_for_bit(tmp_path):
    classifier = make(granularity="unit", memory=tmp_path)
    search = GridSearchCV(classifier, {"sparsity": [0.3, 0.6]}, cv=2, refit=False).fit(X, Y)
    again = GridSearchCV(make(granularity="unit"), {"sparsity": [0.3, 0.6]}, cv=2, refit=False).fit(X, Y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], again.cv_results_["mean_test_score"])
    path = sparsity_path(classifier, X, Y, sparsities=[0.3, 0.6])
    for sparsity, tensors in zip((0.3, 0.6), path.tensors, strict=True):
        np.testing.assert_equal(make(granularity="unit", sparsity=sparsity).fit(X, Y).tensors_, tensors)


def test_multiply_adds_are_counted_at_every_position():
    frame = sparsity_path(make(channels=(6,), padding="valid"), X, Y, sparsities=[0]).frame
    weights = 6 * 9, 6 * 3 * 3 * 12, 12 * 10
    assert frame["macs"][0] == weights[0] * 36 + weights[1] + weights[2]
    assert frame["nonzero"][0] == sum(weights) + 6 + 12 + 10


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_files_and_copies_predict_the_same(network, tmp_path):
    classifier = make(sparsity=0.5, granularity="unit", **network).fit(X, Y)
    expected = classifier.predict_proba(X)
    classifier.save(tmp_path / "model")
    loaded = PrunedCNNClassifier.load(tmp_path / "model")
    for other in (loaded, copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert other.network_ == classifier.network_
    loaded.set_params(channels=(3,), kernel_size=1, sample_shape=(2, 32))
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    with pytest.raises(ValueError, match="holds a PrunedCNNClassifier, not a PrunedMLPClassifier"):
        PrunedMLPClassifier.load(tmp_path / "model")


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_going_on_from_a_checkpoint_gives_the_very_same_network(network, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_EVENTS", 0.0)
    kept = []

    def keep(event):
        if isinstance(event, BatchEnded) and (event.epoch, event.batch) == (2, 3):
            kept.append(event.checkpoint())

    (whole,) = iter_sparsity_path(make(**network), X, Y, sparsities=[0.5], on_event=keep)
    save_checkpoint(kept[0], tmp_path / "checkpoint")
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    (resumed,) = iter_sparsity_path(make(**network), X, Y, sparsities=[0.5], checkpoint=checkpoint)
    assert list(resumed.model.tensors) == list(whole.model.tensors)
    for name, array in whole.model.tensors.items():
        assert resumed.model.tensors[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_partial_fit_and_warm_starts_go_on(network):
    classifier = make(sparsity=0.3, **network).partial_fit(X, Y).partial_fit(X, Y)
    before = classifier.masks_
    classifier.set_params(warm_start=True, sparsity=0.6).fit(X, Y)
    assert not any((classifier.masks_[name] & ~mask).any() for name, mask in before.items())
    with pytest.raises(ValueError, match="cannot go on from the fitted"):
        classifier.set_params(activation="tanh").fit(X, Y)


# -- what a sample is --------------------------------------------------------------------------------------------


def test_rows_images_and_channels_are_the_same_samples():
    expected = make().fit(X, Y).predict_proba(X)
    rows, channels = X.reshape(len(X), -1), X[:, None]
    for samples, settings in (
        (rows, {}),
        (rows, {"sample_shape": (8, 8)}),
        (channels, {}),
        (X, {"sample_shape": (8, 8)}),
    ):
        classifier = make(**settings).fit(samples, Y)
        assert classifier.network_.sample_shape == (1, 8, 8)
        np.testing.assert_array_equal(classifier.predict_proba(rows), expected)
        np.testing.assert_array_equal(classifier.predict_proba(channels), expected)


def test_rows_that_are_no_square_are_a_line_unless_described():
    rows = X.reshape(len(X), -1)[:, :60]
    with pytest.warns(PruningWarning, match="sample_shape"):
        assert make(pooling=1).fit(rows, Y).network_.sample_shape == (1, 1, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PruningWarning)
        assert make(sample_shape=(3, 4, 5)).fit(rows, Y).network_.sample_shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("samples", "settings", "message"),
    [
        (X.reshape(len(X), -1), {"sample_shape": (7, 8)}, "has 56 pixels, and X has 64 features"),
        (X, {"sample_shape": (4, 16)}, "leave it at None"),
        (X[:, :, :, None].repeat(3, 3), {}, "channels seem to be last"),
        (X[:, None, None, None], {}, "1 to 3 dimensions"),
        (X, {"padding": "valid", "kernel_size": 5}, r"convolution 2 of 2 has no outputs left for images of 8x8"),
        (X, {"kernel_size": 0}, "kernel_size must be"),
        (X, {"padding": "full"}, "padding must be one of"),
        (X, {"sample_shape": (8,)}, "sample_shape must be None, or a height and width"),
        (X, {"channels": (4, 0)}, "channels must be"),
    ],
    ids=lambda value: "" if isinstance(value, np.ndarray) else str(value),
)
def test_what_cannot_be_is_refused(samples, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings).fit(samples, Y)


def test_images_of_another_shape_are_refused_also_where_they_have_as_many_pixels():
    """Their rows would be read as other images."""
    images = X.reshape(len(X), 4, 4, 4)
    classifier = make(pooling=1, sample_shape=(4, 4, 4), max_iter=1).fit(images, Y)
    message = r"X has samples of shape \(8, 8\), and the fitted ones have the shape \(4, 4, 4\)"
    for use in (classifier.predict, classifier.predict_proba, lambda X: classifier.score(X, Y)):
        use(images)
        use(X.reshape(len(X), -1))
        with pytest.raises(ValueError, match=message):
            use(X)
    with pytest.raises(ValueError, match=message):
        sparsity_path(classifier, images, Y, sparsities=[0], X_test=X, y_test=Y)
    with pytest.raises(ValueError, match=message):
        InteractivePruning(classifier, images, Y, X, Y)
    with pytest.raises(ValueError, match=message):
        PrunedClassifierCV(classifier, sparsities=[0], cv=2).fit(images, Y).predict(X)
    with pytest.raises(ValueError, match=message):
        classifier.set_params(sample_shape=None).partial_fit(X, Y)


def test_channels_that_seem_to_be_last_are_reported():
    images = X.reshape(len(X), 16, 1, 4)
    with pytest.raises(ValueError, match=r"or set sample_shape=\(16, 1, 4\) if they do"):
        make(pooling=1).fit(images, Y)
    described = make(pooling=1, sample_shape=(16, 1, 4), max_iter=1)
    assert described.fit(images, Y).network_.sample_shape == (16, 1, 4)
    with pytest.warns(PruningWarning, match=r"is taken for 16 channels of 1x4 pixels"):
        described.fit(images.reshape(len(X), -1), Y)


def test_whole_numbers_are_the_same_samples():
    pixels = DIGITS.images[:200].astype(np.uint8)
    expected = make(max_iter=1).fit(pixels.astype(np.float32), Y[:200])
    found = make(max_iter=1).fit(pixels, Y[:200])
    np.testing.assert_equal(found.tensors_, expected.tensors_)
    np.testing.assert_array_equal(found.predict_proba(pixels), expected.predict_proba(pixels.astype(float)))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"channels": (1, 1)}, (8, 8)),
        ({"channels": (1,), "hidden_layer_sizes": ()}, (8, 8)),
        ({"channels": (3, 2), "pooling": 1}, (1, 64)),
        ({"channels": (3, 2), "pooling": 1}, (64, 1)),
        ({"channels": (3,), "kernel_size": 8, "padding": "valid", "pooling": 1}, (8, 8)),  # a single position
    ],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_the_smallest_networks_and_maps(settings, shape, batch_norm, granularity):
    """With batches of one, of which a single position has no variance."""
    settings = {**settings, "batch_norm": batch_norm, "granularity": granularity, "max_iter": 2}
    images, labels = X[:41].reshape(41, *shape), Y[:41]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        for batch_size in (1, 20):  # 41 samples leave a batch of one
            classifier = make(**settings, batch_size=batch_size, sparsity=0.5).fit(images, labels)
            probabilities = classifier.predict_proba(images)
            assert np.isfinite(probabilities).all()
            alone = np.concatenate([classifier.predict_proba(images[i : i + 1]) for i in range(len(images))])
            np.testing.assert_allclose(alone, probabilities, atol=1e-6)
            np.testing.assert_allclose(classifier.compact().predict_proba(images), probabilities, atol=1e-5)


@pytest.mark.parametrize(("pooling", "shape"), [(9, (8, 8)), (65, (1, 64)), (65, (64, 1))])
def test_pooling_of_more_than_there_is_is_refused(pooling, shape):
    with pytest.raises(ValueError, match=r"has no outputs left for images of .* a smaller kernel_size or pooling"):
        make(channels=(3,), pooling=pooling).fit(X.reshape(len(X), *shape), Y)


@pytest.mark.parametrize(
    ("shape", "filters"), [((1, 64), (4, 1, 1, 3)), ((64, 1), (4, 1, 3, 1)), ((8, 8), (4, 1, 3, 3))]
)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_filters_and_windows_lie_along_a_line(shape, filters, padding):
    images = X.reshape(len(X), *shape)
    classifier = make(channels=(4,), padding=padding, max_iter=1).fit(images, Y)
    assert classifier.tensors_["conv1.weight"].shape == filters
    weight = torch.from_numpy(classifier.tensors_["conv1.weight"])
    bias = torch.from_numpy(classifier.tensors_["conv1.bias"])
    maps = torch.nn.functional.conv2d(torch.from_numpy(images[:, None]), weight, bias, padding=padding).relu()
    pooled = torch.nn.functional.max_pool2d(maps, [min(2, length) for length in shape]).flatten(1).numpy()
    for layer in ("hidden1", "output"):
        pooled = pooled @ classifier.tensors_[f"{layer}.weight"] + classifier.tensors_[f"{layer}.bias"]
        if layer == "hidden1":
            pooled = np.maximum(pooled, 0)
    np.testing.assert_array_equal(classifier.predict(images), classifier.classes_[pooled.argmax(axis=1)])


def test_every_parameter_has_a_check():
    for name, value in make().get_params().items():
        check_value(name, value)
        if name != "random_state":
            with pytest.raises(ValueError, match=name):
                check_value(name, object())


# -- batch normalisation -----------------------------------------------------------------------------------------


def test_gates_of_normalised_filters_learn_from_the_loss():
    """Normalisation takes a factor of the weights out again, so that gates on them would learn nothing."""
    classifier = make(schedule="l0", granularity="unit", channels=(6,), batch_norm=True)
    prepared = prepare(classifier, X, Y)
    problem = problem_of(classifier, prepared)
    gated = GatedNetwork(problem, sparsity=0.5)
    steps = {}
    gated._optimiser.update = steps.update
    tensors = {name: torch.from_numpy(array) for name, array in problem.initial.tensors.items()}
    rows = torch.from_numpy(X[:100].reshape(100, -1))
    _, gradients = gated.loss_and_gradients(tensors, rows, torch.from_numpy(prepared.samples.codes[:100]))
    dict(gradients)
    by_the_constraint = gated._constraint("conv1")
    assert (steps["conv1"] - by_the_constraint).abs().max() > 1e-5
