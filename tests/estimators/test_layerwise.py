"""Classifiers whose layers are pruned each in its own way: every schedule, paths, searches and files."""

from __future__ import annotations

import math

import numpy as np
import pytest
from prunelab.estimators import (
    PrunedCNNClassifier,
    PrunedMLPClassifier,
    PrunedMLPClassifierCV,
    iter_sparsity_path,
    sparsity_path,
)
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.parameters import check_value, conflicts
from prunelab.estimators.pruning.allocation import erdos_renyi_shares
from prunelab.estimators.schedules.catalogue import SCHEDULE_RECORDS, SCHEDULES
from prunelab.estimators.training.events import EpochEnded
from sklearn.model_selection import GridSearchCV

RNG = np.random.default_rng(0)
Y = np.arange(120) % 3
X = (RNG.normal(size=(120, 12)) * 0.4 + np.repeat(np.eye(3), 4, axis=1)[Y]).astype(np.float32)

#: One round less than it takes to find the masks in the end only.
SHORT = {"max_iter": 4, "fine_tune_iter": 1, "n_rounds": 2, "batch_size": 20, "random_state": 0, "device": "cpu"}
BY_LAYER = {"hidden1": 0.8, "hidden2.weight": 0.25}


def classifier(**parameters):
    return PrunedMLPClassifier((9, 6), **{"learning_rate_init": 0.01, **SHORT, **parameters})


def removed(fitted):
    return {name.split(".")[0]: int((~m).sum()) for name, m in fitted.masks_.items() if name.endswith("weight")}


def assert_zero_where_masked(fitted):
    assert all(not fitted.tensors_[name][~mask].any() for name, mask in fitted.masks_.items())


def assert_same(one, other):
    for name, tensor in one.tensors_.items():
        np.testing.assert_array_equal(tensor, other.tensors_[name])


# -- a sparsity for each layer ---------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_brings_each_layer_to_its_own_sparsity(schedule):
    fitted = classifier(schedule=schedule, sparsity=BY_LAYER).fit(X, Y)
    assert removed(fitted) == {"hidden1": round(0.8 * 108), "hidden2": round(0.25 * 54), "output": 0}
    assert fitted.sparsity_ == pytest.approx((round(0.8 * 108) + round(0.25 * 54)) / 162)
    assert_zero_where_masked(fitted)


@pytest.mark.parametrize("schedule", [n for n, record in SCHEDULE_RECORDS.items() if not record.of_weights])
def test_units_of_each_layer_in_every_schedule(schedule):
    fitted = classifier(schedule=schedule, sparsity={"hidden2": 0.5}, granularity="unit", fit_intercept=True).fit(X, Y)
    assert (~fitted.masks_["hidden2.bias"]).sum() == 3
    assert fitted.masks_["hidden1.weight"].all()
    assert_zero_where_masked(fitted)


@pytest.mark.parametrize("schedule", ["iterative", "rewind", "gradual", "synaptic", "l1", "l0"])
def test_layers_that_are_left_alone_are_whole_in_every_epoch(schedule):
    seen = []

    def watch(event):
        if isinstance(event, EpochEnded):
            seen.append((event.checkpoint().training.tensors["hidden2.weight"] == 0).sum())

    fitted = classifier(schedule=schedule, sparsity={"hidden1": 0.9}).fit(X, Y, on_event=watch)
    assert seen
    assert not any(seen)
    assert fitted.tensors_["hidden2.weight"].all()


@pytest.mark.parametrize("rounds", [3, "auto"])
def test_rounds_go_to_each_target_and_not_beyond(rounds):
    """A layer that loses less in the end has lost no more in any round."""
    target, losses = {"hidden1": 0.9, "hidden2": 0.2}, []

    def watch(event):
        if isinstance(event, EpochEnded):
            tensors = event.checkpoint().training.tensors
            losses.append([(tensors[f"{name}.weight"] == 0).mean() for name in target])

    classifier(schedule="iterative", sparsity=target, n_rounds=rounds).fit(X, Y, on_event=watch)
    assert (np.diff(losses, axis=0) >= 0).all()
    assert losses[-1] == pytest.approx([round(0.9 * 108) / 108, round(0.2 * 54) / 54])


def test_partial_fit_and_warm_start_take_a_sparsity_for_each_layer():
    fitted = classifier(sparsity={"hidden1": 0.5}).partial_fit(X, Y)
    fitted.set_params(sparsity={"hidden1": 0.75, "hidden2": 0.5}).partial_fit(X, Y)
    assert removed(fitted) == {"hidden1": 81, "hidden2": 27, "output": 0}
    warm = classifier(sparsity={"hidden2": 0.5}, warm_start=True).fit(X, Y)
    before = warm.masks_["hidden2.weight"]
    warm.set_params(sparsity={"hidden1": 0.5}).fit(X, Y)
    np.testing.assert_array_equal(warm.masks_["hidden2.weight"], before)


def test_grid_search_over_sparsities_of_layers(tmp_path):
    choices = [0.5, {"hidden1": 0.9}, {"hidden1": 0.9, "hidden2": 0.9}]
    search = GridSearchCV(classifier(memory=tmp_path), {"sparsity": choices}, cv=2).fit(X, Y)
    assert search.best_params_["sparsity"] in choices
    assert list(search.cv_results_["param_sparsity"]) == choices
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3  # one training a fold, and the refit's


@pytest.mark.parametrize("sparsities", [[BY_LAYER], BY_LAYER])
def test_paths_take_numbers_only(sparsities):
    for take in (
        lambda: sparsity_path(classifier(), X, Y, sparsities=sparsities),
        lambda: PrunedMLPClassifierCV(classifier(), sparsities=sparsities).fit(X, Y),
    ):
        with pytest.raises(ValueError, match="sparsities must be numbers from 0 to 1"):
            take()
    with pytest.raises(ValueError, match="sparsity must be a number"):
        InteractivePruning(classifier().fit(X, Y), X, Y, X, Y).prune(BY_LAYER)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"sparsity": {"hidden7": 0.5}}, "'hidden7': the layers are hidden1, hidden2, output"),
        ({"sparsity": {"output": 0.5}}, "prune_output=True"),
        ({"exclude_layers": ["conv1"], "sparsity": 0.5}, "exclude_layers .* 'conv1'"),
        ({"exclude_layers": ["hidden1", "hidden2"], "sparsity": 0.5}, "exclude_layers must leave a layer"),
    ],
)
def test_names_of_layers_are_checked_before_anything_is_trained(parameters, words):
    def fail(event):
        raise AssertionError(event)

    with pytest.raises(ValueError, match=words):
        classifier(**parameters).fit(X, Y, on_event=fail)
    if not isinstance(parameters["sparsity"], dict):
        with pytest.raises(ValueError, match=words):
            sparsity_path(classifier(**parameters), X, Y, sparsities=[0.5], on_event=fail)


# -- shares, layers left alone, and least numbers --------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_erdos_renyi_in_every_schedule(schedule):
    fitted = classifier(schedule=schedule, sparsity=0.7, distribution="erk").fit(X, Y)
    kept = [fitted.masks_[f"{name}.weight"].sum() for name in ("hidden1", "hidden2")]
    np.testing.assert_allclose(kept, erdos_renyi_shares([(12, 9), (9, 6)], 0.7), atol=1)
    assert kept != [108 - round(0.7 * 108), 54 - round(0.7 * 54)]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_layers_keep_their_least_in_every_schedule(schedule, scope):
    fitted = classifier(schedule=schedule, scope=scope, sparsity=0.97, min_kept=10).fit(X, Y)
    counts = removed(fitted)
    assert 108 - counts["hidden1"] >= 10
    assert 54 - counts["hidden2"] >= 10
    assert_zero_where_masked(fitted)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_excluded_layers_are_left_alone_in_every_schedule(schedule):
    fitted = classifier(schedule=schedule, sparsity=0.7, exclude_layers=["hidden1"]).fit(X, Y)
    assert removed(fitted) == {"hidden1": 0, "hidden2": round(0.7 * 54), "output": 0}
    assert fitted.sparsity_ == round(0.7 * 54) / 54
    assert fitted.effective_sparsity_ >= fitted.sparsity_


# -- patterns --------------------------------------------------------------------------------------------

WITH_PATTERNS = [n for n, r in SCHEDULE_RECORDS.items() if not r.of_weights and n != "rewind-shuffle"]


def runs_of(mask, m):
    """The weights into each unit, m at a time."""
    return mask.T.reshape(mask.shape[1], -1, m)


@pytest.mark.parametrize("schedule", WITH_PATTERNS)
def test_two_of_four_in_every_schedule_that_allows_it(schedule):
    fitted = classifier(schedule=schedule, sparsity=0.5, pattern="2:4", exclude_layers=["hidden2"]).fit(X, Y)
    assert (runs_of(fitted.masks_["hidden1.weight"], 4).sum(axis=2) == 2).all()
    assert fitted.sparsity_ == 0.5
    assert_zero_where_masked(fitted)


@pytest.mark.parametrize("schedule", WITH_PATTERNS)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_blocks_in_every_schedule_that_allows_them(schedule, scope):
    fitted = classifier(schedule=schedule, sparsity=0.6, pattern="3x2", scope=scope).fit(X, Y)
    gone = {}
    for name, shape in (("hidden1", (3, 6)), ("hidden2", (2, 5))):
        matrix = fitted.masks_[f"{name}.weight"].T
        blocks = [matrix[i * 3 : i * 3 + 3, j * 2 : j * 2 + 2] for i in range(shape[0]) for j in range(shape[1])]
        assert all(block.all() or not block.any() for block in blocks)
        gone[name] = sum(not block.any() for block in blocks)
    if scope == "layer":
        assert gone == {"hidden1": round(0.6 * 18), "hidden2": round(0.6 * 10)}
    else:
        assert sum(gone.values()) == round(0.6 * 28)
    assert_zero_where_masked(fitted)


def test_filters_lose_weights_in_a_pattern():
    images = RNG.normal(size=(60, 2, 6, 6)).astype(np.float32)
    cnn = PrunedCNNClassifier((4,), kernel_size=3, hidden_layer_sizes=(8,), pattern="2:4", sparsity=0.5, **SHORT)
    masks = cnn.fit(images, np.arange(60) % 3).masks_
    rows = masks["conv1.weight"].reshape(4, 18)
    assert (rows[:, :16].reshape(4, 4, 4).sum(axis=2) == 2).all()
    assert (rows[:, 16:].sum(axis=1) == math.ceil(2 * 2 / 4)).all()


def test_a_sparsity_written_with_few_digits_is_that_of_the_pattern():
    fitted = classifier(pattern="1:3", sparsity=0.667).fit(X, Y)
    assert (runs_of(fitted.masks_["hidden1.weight"], 3).sum(axis=2) == 1).all()
    dense = classifier(pattern="1:3").fit(X, Y)
    assert dense.sparsity_ == 0


# -- one way for all -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"distribution": "erk"},
        {"min_kept": 0.3, "scope": "global"},
        {"exclude_layers": ("hidden2",), "criterion": "lamp", "scope": "global"},
        {"pattern": "2:4"},
        {"pattern": "4x1", "criterion": "taylor"},
    ],
    ids=str,
)
def test_paths_fits_files_and_pruning_by_hand_agree(parameters, tmp_path):
    sparsities = (0.0, 0.5)
    estimator = classifier(**{**parameters, "fine_tune_iter": 0})
    points = list(iter_sparsity_path(estimator, X, Y, sparsities=sparsities, X_test=X, y_test=Y))
    by_hand = InteractivePruning(points[0].to_classifier(), X, Y, X, Y)
    for sparsity, point in zip(sparsities, points, strict=True):
        fitted = classifier(**{**parameters, "fine_tune_iter": 0, "sparsity": sparsity}).fit(X, Y)
        assert_same(point.to_classifier(), fitted)
        assert_same(by_hand.to_classifier(by_hand.prune(sparsity)), fitted)
        assert point.row["achieved_sparsity"] == fitted.sparsity_
        assert point.row["effective_sparsity"] == fitted.effective_sparsity_
        fitted.save(tmp_path / "model.safetensors")
        loaded = PrunedMLPClassifier.load(tmp_path / "model.safetensors")
        assert_same(loaded, fitted)
        assert loaded.get_params() == fitted.get_params()
        assert (loaded.pruned_as_, loaded.effective_sparsity_) == (fitted.pruned_as_, fitted.effective_sparsity_)


def test_a_file_keeps_the_sparsity_of_each_layer(tmp_path):
    fitted = classifier(sparsity=BY_LAYER, exclude_layers=["hidden2"]).set_params(exclude_layers=()).fit(X, Y)
    fitted.save(tmp_path / "model.safetensors")
    loaded = PrunedMLPClassifier.load(tmp_path / "model.safetensors")
    assert loaded.sparsity == BY_LAYER
    assert loaded.pruned_as_ == fitted.pruned_as_
    assert_same(loaded.partial_fit(X, Y), fitted.partial_fit(X, Y))


def test_rows_have_columns_for_what_varies():
    variants = [{"distribution": name, "pattern": "none"} for name in ("uniform", "erk")]
    rows = [p.row for p in iter_sparsity_path(classifier(), X, Y, sparsities=[0.5], variants=variants)]
    assert [row["distribution"] for row in rows] == ["uniform", "erk"]
    assert "pattern" not in rows[0]
    variants = [{"min_kept": 0.25, "exclude_layers": ("hidden1",)}, {"min_kept": 3}, {"prune_output": True}]
    rows = [p.row for p in iter_sparsity_path(classifier(), X, Y, sparsities=[0.5], variants=variants)]
    assert [row["min_kept"] for row in rows] == ["0.25", "3", "0"]
    assert [row["exclude_layers"] for row in rows] == ["hidden1", "", ""]
    assert [row["prune_output"] for row in rows] == ["False", "False", "True"]


# -- what does not go together ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"sparsity": BY_LAYER}, []),
        ({"sparsity": BY_LAYER, "scope": "global"}, ["sparsity"]),
        ({"sparsity": BY_LAYER, "prune_output": "half"}, ["prune_output"]),
        ({"sparsity": BY_LAYER, "distribution": "erk"}, ["distribution"]),
        ({"sparsity": {}, "hidden_layer_sizes": ()}, []),
        ({"sparsity": {"output": 0.5}, "hidden_layer_sizes": ()}, ["prune_output"]),
        ({"distribution": "erk", "scope": "global"}, ["distribution"]),
        ({"distribution": "uniform", "scope": "global"}, ["distribution"]),
        ({"distribution": "erk", "granularity": "unit"}, ["distribution"]),
        ({"distribution": "uniform", "granularity": "unit"}, []),
        ({"distribution": "uniform", "scope": "global", "schedule": "set"}, []),
        ({"distribution": "erk", "per_output": True}, []),
        ({"pattern": "2:4", "sparsity": 0.5}, []),
        ({"pattern": "2:4", "sparsity": 0.0}, []),
        ({"pattern": "2:4", "sparsity": 0.6}, ["sparsity"]),
        ({"pattern": "2:4", "sparsity": {"hidden1": 0.5, "hidden2": 0.25}}, ["sparsity"]),
        ({"pattern": "2:4", "scope": "global"}, ["pattern"]),
        ({"pattern": "2:4", "min_kept": 3}, ["pattern"]),
        ({"pattern": "2:4", "distribution": "erk"}, ["pattern"]),
        ({"pattern": "2:4", "prune_output": "half"}, ["pattern"]),
        ({"pattern": "2:4", "granularity": "unit"}, ["pattern"]),
        ({"pattern": "4x1", "granularity": "unit"}, ["pattern"]),
        ({"pattern": "4x1", "per_output": True}, ["pattern"]),
        ({"pattern": "4x1", "control": "shuffle"}, ["pattern"]),
        ({"pattern": "4x1", "schedule": "rewind-shuffle"}, ["pattern"]),
        ({"pattern": "4x1", "schedule": "set"}, ["pattern"]),
        ({"pattern": "4x1", "schedule": "synaptic"}, ["pattern"]),
        ({"pattern": "4x1", "criterion": "synflow"}, ["pattern"]),
        ({"pattern": "4x1", "criterion": "grasp", "reduce": "norm"}, ["reduce"]),
        ({"pattern": "4x1", "scope": "global", "min_kept": 3, "sparsity": 0.6, "distribution": "auto"}, []),
    ],
)
def test_what_does_not_go_together_is_named(parameters, wrong):
    found = conflicts(parameters)
    assert list(found) == wrong
    assert all(sentence.startswith(name) and "\n" not in sentence for name, sentence in found.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sparsity", {"hidden1": 1.5}),
        ("sparsity", {"hidden1": True}),
        ("sparsity", {1: 0.5}),
        ("sparsity", {"hidden1": math.nan}),
        ("exclude_layers", "hidden1"),
        ("exclude_layers", ["hidden1", "hidden1"]),
        ("exclude_layers", [1]),
        ("min_kept", -1),
        ("min_kept", 1.0),
        ("min_kept", 2.5),
        ("min_kept", True),
        ("distribution", "even"),
        ("pattern", "4:2"),
        ("pattern", None),
        ("pattern", "2 of 4"),
    ],
)
def test_impossible_values_are_refused_in_a_sentence(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*got") as caught:
        check_value(name, value)
    assert "\n" not in str(caught.value)


def test_a_path_to_a_pattern_has_two_points():
    assert len(sparsity_path(classifier(pattern="2:4"), X, Y, sparsities=(0, 0.5)).frame) == 2
    for wrong in ((0, 0.25, 0.5), (0, 0.5, 0.9)):
        with pytest.raises(ValueError, match=r"sparsity must be 0 or 0\.5 with pattern='2:4'"):
            sparsity_path(classifier(pattern="2:4"), X, Y, sparsities=wrong)
