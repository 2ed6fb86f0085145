"""Pruning by hand gives the figures of a sweep, and estimates that come close."""

from itertools import pairwise

import numpy as np
import pytest
from prunelab.estimators import PrunedMLPClassifier, inference, sparsity_path
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.path import iter_sparsity_path

WAYS = [
    {},
    {"granularity": "unit"},
    {"granularity": "unit", "norm": "inf", "scope": "global"},
    {"scope": "global", "order": "largest"},
    {"criterion": "random"},
    {"criterion": "random", "granularity": "unit"},
    {"criterion": "taylor"},
    {"criterion": "fisher", "granularity": "unit", "norm": 1},
]


@pytest.fixture(scope="module")
def fitted(digits, make):
    return make(fit_intercept=True).fit(digits.X_train, digits.y_train)


@pytest.fixture(scope="module")
def interactive(digits, fitted):
    return InteractivePruning(fitted, *digits, sample_size=100)


@pytest.mark.filterwarnings("ignore::prunelab.estimators.PruningWarning")
@pytest.mark.parametrize("ways", WAYS, ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_figures_are_those_of_a_sweep(digits, make, tmp_path, ways, precision):
    trained = make(precision=precision)
    sparsities = [0.0, 0.5, 0.85, 1.0]
    points = list(
        iter_sparsity_path(
            trained,
            digits.X_train,
            digits.y_train,
            sparsities=sparsities,
            variants=[ways],
            X_test=digits.X_test,
            y_test=digits.y_test,
        )
    )
    points[0].to_dense_classifier().save(tmp_path / "dense.safetensors")
    dense = PrunedMLPClassifier.load(tmp_path / "dense.safetensors")
    interactive = InteractivePruning(dense, *digits)
    for point in points:
        cut = interactive.prune(point.row["sparsity"], **ways)
        scores = interactive.scores(cut)
        assert (scores.accuracy, scores.loss) == (point.row["accuracy"], point.row["loss"])
        assert cut.achieved_sparsity == point.row["achieved_sparsity"]
        assert cut.cost.nonzero == point.row["nonzero"]
        assert cut.cost.speedup == point.row["speedup"]
        assert cut.effective_sparsity == point.row["effective_sparsity"]
        assert cut.connectivity == point.connectivity
        for mine, theirs in zip(cut.model.tensors.values(), point.model.tensors.values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_layers_units_and_classes_add_up(interactive, digits):
    cut = interactive.prune(0.5, granularity="unit")
    scores = interactive.scores(cut)
    assert [total for _, total in cut.layers] == [64 * 24, 24 * 12, 12 * 10]
    assert cut.units == [[12, 24], [6, 12], [10, 10]]
    assert cut.layers[0] == [64 * 12, 64 * 24]
    shares = np.bincount(digits.y_test) / len(digits.y_test)
    assert np.dot(scores.class_accuracy, shares) == pytest.approx(scores.accuracy)
    assert not scores.is_estimate


def test_emptied_layers_are_named_and_the_accuracy_is_that_of_one_answer(interactive, digits):
    cut = interactive.prune(1.0)
    scores = interactive.scores(cut)
    assert cut.connectivity.emptied_layers == [0, 1]
    assert cut.effective_sparsity == 1.0
    assert cut.connectivity.dead_units == [24, 12, 10]
    assert len(set(scores.predictions.tolist())) == 1
    assert scores.accuracy == np.mean(digits.y_test == scores.predictions[0])


def test_a_class_that_the_sample_misses_keeps_its_figure(digits, make):
    classifier = make().fit(digits.X_train, digits.y_train)
    rare = np.flatnonzero((digits.y_test != 7) | (np.cumsum(digits.y_test == 7) <= 1))  # one of the sevens
    test = digits.X_test[rare], digits.y_test[rare]
    interactive = InteractivePruning(classifier, digits.X_train, digits.y_train, *test, sample_size=20)
    assert 7 not in digits.y_test[rare][interactive.sample]
    estimate = interactive.estimate(interactive.prune(0.9))
    assert estimate.class_accuracy[7] == interactive.before.class_accuracy[7]


def test_estimates_come_close_and_are_exact_where_nothing_is_removed(interactive):
    for sparsity in (0.0, 0.3, 0.6, 0.9, 1.0):
        cut = interactive.prune(sparsity)
        estimate, exact = interactive.estimate(cut), interactive.scores(cut)
        assert estimate.is_estimate
        assert len(estimate.predictions) == 100
        assert estimate.accuracy == pytest.approx(exact.accuracy, abs=0.1)
        assert estimate.loss == pytest.approx(exact.loss, rel=0.2)
        assert all(0 <= value <= 1 for value in estimate.class_accuracy)
        if sparsity == 0:
            assert (estimate.accuracy, estimate.class_accuracy) == (exact.accuracy, exact.class_accuracy)


def test_the_sample_has_its_share_of_every_class(interactive, digits):
    shares = np.bincount(digits.y_test) / len(digits.y_test)
    sampled = np.bincount(digits.y_test[interactive.sample]) / 100
    assert len(np.unique(interactive.sample)) == 100
    np.testing.assert_allclose(sampled, shares, atol=0.011)


def test_the_outcome_sorts_every_sample_into_one_kind(interactive, digits):
    scores = interactive.scores(interactive.prune(0.9))
    outcome = interactive.outcome(scores)
    everyone = np.concatenate([outcome.broken, outcome.wrong_before, outcome.right])
    assert sorted(everyone) == list(range(len(digits.y_test)))
    before = interactive.before.predictions
    assert len(outcome.broken) > 0
    assert (before[outcome.broken] == digits.y_test[outcome.broken]).all()
    assert (scores.predictions[outcome.broken] != digits.y_test[outcome.broken]).all()
    gained = outcome.n_corrected - len(outcome.broken)
    assert scores.accuracy == pytest.approx(interactive.before.accuracy + gained / len(digits.y_test))


def test_the_caller_can_stop_between_parts_that_change_nothing(interactive, monkeypatch):
    monkeypatch.setattr(inference, "_BLOCK_ELEMENTS", 64 * 100)
    cut = interactive.prune(0.5)
    *parts, scores = interactive.iter_scores(cut)
    assert len(parts) == 6
    assert set(parts) == {None}
    assert scores.accuracy == interactive.scores(cut).accuracy


@pytest.mark.parametrize("ways", WAYS, ids=str)
def test_a_saved_network_predicts_as_it_was_shown(interactive, digits, tmp_path, ways):
    cut = interactive.prune(0.7, **ways)
    interactive.to_classifier(cut).save(tmp_path / "pruned.safetensors")
    loaded = PrunedMLPClassifier.load(tmp_path / "pruned.safetensors")
    np.testing.assert_array_equal(loaded.predict(digits.X_test), interactive.scores(cut).predictions)
    assert (loaded.sparsity, loaded.sparsity_) == (0.7, cut.achieved_sparsity)
    assert {name: loaded.get_params()[name] for name in ways} == ways


def test_what_was_removed_before_stays_removed(digits, make):
    pruned = make(sparsity=0.5).fit(digits.X_train, digits.y_train)
    interactive = InteractivePruning(pruned, *digits)
    assert interactive.scores(interactive.prune(0.0)).accuracy == interactive.before.accuracy
    assert interactive.prune(0.0).achieved_sparsity == pruned.sparsity_
    kept = [interactive.prune(sparsity).cost.nonzero for sparsity in (0.4, 0.6, 0.8)]
    assert all(more > fewer for more, fewer in pairwise(kept))


def test_nothing_is_retrained_whatever_the_schedule(fitted, digits):
    retraining = PrunedMLPClassifier(**{**fitted.get_params(), "schedule": "iterative", "fine_tune_iter": 3})
    vars(retraining).update({name: value for name, value in vars(fitted).items() if name.endswith("_")})
    retraining.optimiser_state_ = None
    interactive = InteractivePruning(retraining, *digits)
    classifier = interactive.to_classifier(interactive.prune(0.5))
    assert (classifier.schedule, classifier.fine_tune_iter) == ("one-shot", 0)
    assert np.isin(classifier.coefs_[0], [0, *fitted.coefs_[0].ravel()]).all()


def test_the_classifier_is_left_alone(fitted, digits):
    before = [coef.copy() for coef in fitted.coefs_]
    interactive = InteractivePruning(fitted, *digits)
    interactive.scores(interactive.prune(0.9, granularity="unit"))
    assert fitted.sparsity == 0.0
    for was, now in zip(before, fitted.coefs_, strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_network_from_a_gpu_is_computed_on_what_there_is(fitted, digits):
    import torch

    if torch.cuda.is_available():
        pytest.skip("the device is there")
    elsewhere = PrunedMLPClassifier(**{**fitted.get_params(), "device": "cuda"})
    vars(elsewhere).update({name: value for name, value in vars(fitted).items() if name.endswith("_")})
    elsewhere.optimiser_state_ = None
    assert InteractivePruning(elsewhere, *digits).device in ("cpu", "mps")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sparsity": 1.2}, "sparsity must be a number from 0 to 1"),
        ({"sparsity": 0.5, "criterion": "beauty"}, "criterion must be one of"),
        ({"sparsity": 0.5, "hidden_layer_sizes": (3,)}, "no way of pruning called hidden_layer_sizes"),
    ],
)
def test_what_cannot_be_is_refused(interactive, asked, message):
    with pytest.raises(ValueError, match=message):
        interactive.prune(**asked)


def test_data_that_do_not_fit_are_refused(fitted, digits):
    with pytest.raises(ValueError, match="features"):
        InteractivePruning(fitted, digits.X_train, digits.y_train, digits.X_test[:, :10], digits.y_test)


def test_criteria_look_at_what_the_fit_trained_on(digits, make):
    """Without the samples that were held out, and with the weights."""
    X, y = digits.X_train[:300], digits.y_train[:300]
    weights = np.random.default_rng(0).exponential(size=300)
    estimator = make(criterion="taylor", early_stopping=True, validation_fraction=0.4)
    path = sparsity_path(estimator, X, y, sparsities=[0.6], sample_weight=weights)
    interactive = InteractivePruning(estimator.fit(X, y, weights), X, y, X, y, sample_weight=weights)
    np.testing.assert_equal(interactive.prune(0.6).model.tensors, path.tensors[0])
