"""The training loop: against plain torch, and what it promises about masks, seeds, stopping and events."""

from __future__ import annotations

import os
import random
import signal
import threading
from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.training import loop
from prunelab.estimators.training.events import BatchEnded, EpochEnded
from prunelab.estimators.training.loop import TrainingDiverged, train
from prunelab.estimators.training.state import Data, Recipe, Training
from torch.nn import functional

from .lists import listed, named

CPU = torch.device("cpu")
NETWORK = MLPNetwork((4, 8, 6, 3), "tanh", True)
RECIPE = Recipe(
    solver="adam",
    learning_rate_init=0.01,
    alpha=0.0,
    momentum=0.9,
    batch_size=25,
    max_iter=4,
    tol=-float("inf"),
    n_iter_no_change=10,
    early_stopping=False,
)
both_solvers = pytest.mark.parametrize("solver", ["adam", "sgd"])


@pytest.fixture
def data(blobs) -> Data:
    X, y = blobs
    return Data(torch.tensor(X), torch.tensor(y))


def start(network=NETWORK, seed=7) -> Training:
    return Training(network.initial(seed))


def reference_training(network, data, recipe, seed) -> tuple[list[np.ndarray], list[float]]:
    """The same with torch's modules' own pieces: autograd, `torch.optim`, the penalty in the loss."""
    activate = {"relu": torch.relu, "tanh": torch.tanh}[network.activation]
    parameters = [torch.tensor(array, requires_grad=True) for array in listed(start(network).tensors)]
    weights, biases = parameters[: len(network.weights)], parameters[len(network.weights) :]
    if recipe.solver == "adam":
        optimiser = torch.optim.Adam(parameters, lr=recipe.learning_rate_init)
    else:
        rate, momentum = recipe.learning_rate_init, recipe.momentum
        optimiser = torch.optim.SGD(parameters, lr=rate, momentum=momentum, nesterov=momentum > 0)
    curve = []
    for epoch in range(recipe.max_iter):
        order = loop._shuffled(len(data), seed, 0, epoch, CPU)
        total = 0.0
        for first in range(0, len(data), recipe.batch_size):
            rows = order[first : first + recipe.batch_size]
            values = data.inputs[rows]
            for layer, weight in enumerate(weights):
                values = values @ weight + (biases[layer] if biases else 0.0)
                values = activate(values) if layer < len(weights) - 1 else values
            losses = functional.cross_entropy(values, data.targets[rows], reduction="none")
            shares = torch.ones(len(rows)) if data.weights is None else data.weights[rows]
            loss = (losses * shares).sum() / shares.sum()
            total += loss.item() * len(rows)
            penalty = sum((weight**2).sum() for weight in weights) * recipe.alpha / 2 / recipe.batch_size
            optimiser.zero_grad()
            (loss + penalty).backward()
            optimiser.step()
        curve.append(total / len(data))
    return [parameter.detach().numpy() for parameter in parameters], curve


def assert_close(actual, expected, tolerance=2e-5):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def assert_equal(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# -- the numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "adam"},
        {"solver": "adam", "alpha": 5.0},
        {"solver": "adam", "batch_size": 1000},
        {"solver": "sgd"},
        {"solver": "sgd", "momentum": 0.0},
        {"solver": "sgd", "momentum": 0.5, "alpha": 5.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("fit_intercept", [False, True], ids=["no-biases", "biases"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_training_is_that_of_torch(data, changes, fit_intercept, activation):
    network = MLPNetwork((4, 8, 6, 3), activation, fit_intercept)
    recipe = replace(RECIPE, **changes)
    result = train(network, start(network), data, recipe, seed=3)
    expected, curve = reference_training(network, data, recipe, seed=3)
    assert_close(listed(result.tensors), expected)
    np.testing.assert_allclose(result.loss_curve, curve, rtol=1e-5)
    assert result.n_steps == recipe.max_iter * ceil(90 / recipe.batch_size)


def test_training_with_sample_weights_is_that_of_torch(data):
    weighted = replace(data, weights=torch.rand(90, generator=torch.Generator().manual_seed(0)) + 0.1)
    result = train(NETWORK, start(), weighted, RECIPE, seed=3)
    assert_close(listed(result.tensors), reference_training(NETWORK, weighted, RECIPE, seed=3)[0])


def test_the_penalty_shrinks_weights_and_spares_biases(data):
    """With every sample weighing nothing, the penalty is all there is."""
    nothing = replace(data, weights=torch.zeros(90))
    recipe = replace(RECIPE, solver="sgd", momentum=0.0, alpha=10.0, batch_size=90, max_iter=1, learning_rate_init=0.5)
    before, after = start(), train(NETWORK, start(), nothing, recipe, seed=0)
    for layer in range(3):
        np.testing.assert_allclose(
            listed(after.tensors)[layer], listed(before.tensors)[layer] * (1 - 0.5 * 10 / 90), rtol=1e-5
        )
    assert_equal(listed(after.tensors)[3:], listed(before.tensors)[3:])


def test_a_sample_that_weighs_nothing_has_no_influence(data):
    recipe = replace(RECIPE, batch_size=90)
    weights = torch.ones(90)
    weights[::7] = 0
    changed = data.inputs.clone()
    changed[::7] = 100.0
    one = train(NETWORK, start(), replace(data, weights=weights), recipe, seed=0)
    other = train(NETWORK, start(), Data(changed, (data.targets + (weights == 0)) % 3, weights), recipe, seed=0)
    assert_equal(listed(one.tensors), listed(other.tensors))
    kept = weights > 0
    without = train(
        NETWORK, start(), Data(data.inputs[kept], data.targets[kept]), replace(recipe, batch_size=77), seed=0
    )
    assert_close(listed(one.tensors), listed(without.tensors))


def test_a_whole_weight_is_a_repetition(data):
    recipe = replace(RECIPE, batch_size=1000)
    times = torch.arange(90) % 4
    weighted = train(NETWORK, start(), replace(data, weights=times.float()), recipe, seed=0)
    repeated = Data(data.inputs.repeat_interleave(times, 0), data.targets.repeat_interleave(times))
    assert_close(listed(weighted.tensors), listed(train(NETWORK, start(), repeated, recipe, seed=0).tensors))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_bfloat16_stays_close_to_float32(data, solver):
    exact = train(NETWORK, start(), data, replace(RECIPE, solver=solver, max_iter=15), seed=0)
    halved = replace(data, inputs=data.inputs.bfloat16())
    rough = train(NETWORK, start(), halved, replace(RECIPE, solver=solver, max_iter=15), seed=0)
    assert all(array.dtype == np.float32 for array in listed(rough.tensors))
    np.testing.assert_allclose(rough.loss_curve, exact.loss_curve, atol=0.02)
    moved = [one - other for one, other in zip(listed(exact.tensors), listed(start().tensors), strict=True)]
    for one, other, distance in zip(listed(rough.tensors), listed(exact.tensors), moved, strict=True):
        assert np.linalg.norm(one - other) < 0.1 * np.linalg.norm(distance)


def test_small_updates_are_not_lost_in_bfloat16(data):
    """The weights themselves stay float32: an update far below bfloat16's resolution counts."""
    halved = replace(data, inputs=data.inputs.bfloat16())
    result = train(NETWORK, start(), halved, replace(RECIPE, learning_rate_init=1e-6, max_iter=2), seed=0)
    for one, other in zip(listed(result.tensors), listed(start().tensors), strict=True):
        distance = np.abs(one - other).max()
        assert 0 < distance < 1e-4


# -- seeds and bystanders --------------------------------------------------------------------------------


@both_solvers
def test_the_seed_decides(data, solver):
    recipe = replace(RECIPE, solver=solver)
    one, same, other = (listed(train(NETWORK, start(), data, recipe, seed=seed).tensors) for seed in (0, 0, 1))
    assert_equal(one, same)
    assert all((a != b).any() for a, b in zip(one, other, strict=True))


def test_epochs_are_shuffled_differently_and_completely():
    orders = [loop._shuffled(50, 0, n_steps, epoch, CPU) for n_steps, epoch in ((0, 0), (0, 1), (10, 0))]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert not any(torch.equal(one, other) for one, other in pairwise([*orders, orders[0]]))


def test_what_is_passed_in_is_not_changed(data):
    beginning = start()
    before = [array.copy() for array in listed(beginning.tensors)]
    inputs, targets = data.inputs.clone(), data.targets.clone()
    train(NETWORK, beginning, data, RECIPE, seed=0)
    assert_equal(listed(beginning.tensors), before)
    assert torch.equal(data.inputs, inputs)
    assert torch.equal(data.targets, targets)


def test_no_global_state_is_touched(blobs, make):
    np.random.seed(5)  # noqa: NPY002 (the global state is what is looked at)
    torch.manual_seed(5)
    random.seed(5)

    def state():
        _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
        settings = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
        return keys.tolist(), position, torch.get_rng_state().tolist(), random.getstate(), settings

    before = state()
    classifier = make(sparsity=0.5, criterion="random", early_stopping=True, fine_tune_iter=1).fit(*blobs)
    classifier.predict_proba(blobs[0])
    assert state() == before


def flushes() -> bool:
    """Whether this thread turns denormal numbers into zeros, as torch and as NumPy see it."""
    by_torch = (torch.tensor(1e-40) * 1.0).item() == 0.0
    by_numpy = bool((np.array([1e-40], dtype=np.float32) * np.float32(1.0))[0] == 0.0)
    assert by_torch == by_numpy
    return by_torch


@pytest.fixture(params=[False, True], ids=["denormals", "flushed"])
def flush_setting(request):
    torch.set_flush_denormal(request.param)
    yield request.param
    torch.set_flush_denormal(False)


def test_the_callers_denormals_are_left_alone(blobs, make, flush_setting):
    classifier = make(fine_tune_iter=1, early_stopping=True).fit(*blobs)
    assert flushes() is flush_setting
    classifier.predict(blobs[0])
    assert flushes() is flush_setting


def test_the_callers_denormals_are_left_alone_by_a_training_that_fails(blobs, make, flush_setting):
    def stop(event):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        make().fit(*blobs, on_event=stop)
    assert flushes() is flush_setting


def test_training_itself_flushes_in_as_many_threads_as_the_caller_has(blobs, make, monkeypatch):
    seen, shuffled = [], loop._shuffled

    def look(*arguments):
        seen.append((flushes(), torch.get_num_threads()))
        return shuffled(*arguments)

    monkeypatch.setattr(loop, "_shuffled", look)
    make(max_iter=2, fine_tune_iter=1).fit(*blobs)
    assert seen == [(True, torch.get_num_threads())] * 3


# -- masks -----------------------------------------------------------------------------------------------


def random_masks(seed=0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(array.shape) < 0.4 for array in listed(start().tensors)]


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "adam"},
        {"solver": "adam", "alpha": 20.0},
        {"solver": "sgd", "momentum": 0.9},
        {"solver": "sgd", "momentum": 0.9, "alpha": 20.0},
        {"solver": "sgd", "momentum": 0.0, "alpha": 20.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_is_masked_stays_exactly_zero(data, changes, dtype):
    """Also when the optimiser remembers moving it."""
    recipe = replace(RECIPE, **changes)
    data = replace(data, inputs=data.inputs.to(dtype))
    beginning = train(NETWORK, start(), data, recipe, seed=0)
    if recipe.solver == "adam" or recipe.momentum:
        assert all(np.abs(moment).max() > 0 for moments in beginning.moments for moment in moments.values())
    masks = random_masks()
    result = train(NETWORK, beginning, data, recipe, seed=1, masks=named(masks))
    moved = []
    for parameter, mask, before in zip(listed(result.tensors), masks, listed(beginning.tensors), strict=True):
        assert (parameter[~mask] == 0).all()
        moved.extend(parameter[mask] != before[mask])
    assert np.mean(moved) > 0.8


def test_masked_training_is_that_of_the_smaller_network(data):
    """A network whose masked units are gone trains the same as one that never had them."""
    large = MLPNetwork((4, 5, 3), "tanh", True)
    small = MLPNetwork((4, 2, 3), "tanh", True)
    kept = np.array([True, False, False, True, False])
    first, second, first_bias, second_bias = listed(start(large).tensors)
    masks = [np.tile(kept, (4, 1)), np.tile(kept, (3, 1)).T, kept, np.ones(3, dtype=bool)]
    trained = train(large, start(large), data, RECIPE, seed=0, masks=named(masks))
    reduced = Training(named([first[:, kept].copy(), second[kept], first_bias[kept], second_bias]))
    expected = listed(train(small, reduced, data, RECIPE, seed=0).tensors)
    got = listed(trained.tensors)
    assert_close([got[0][:, kept], got[1][kept], got[2][kept], got[3]], expected)


def test_a_training_without_masks_may_have_some_missing(data):
    mask = random_masks()[1]
    result = train(NETWORK, start(), data, RECIPE, seed=0, masks={"hidden2.weight": mask})
    assert (listed(result.tensors)[1][~mask] == 0).all()
    assert all((listed(result.tensors)[index] != 0).all() for index in (0, 2, 3, 4, 5))


# -- going on --------------------------------------------------------------------------------------------


@both_solvers
def test_the_optimisers_memory_is_taken_up(data, solver):
    """In full batches the order does not matter: two trainings of two epochs are one of four."""
    recipe = replace(RECIPE, solver=solver, batch_size=90)
    whole = train(NETWORK, start(), data, recipe, seed=0)
    half = train(NETWORK, start(), data, replace(recipe, max_iter=2), seed=0)
    resumed = train(NETWORK, half, data, replace(recipe, max_iter=2), seed=0)
    assert_close(listed(resumed.tensors), listed(whole.tensors), 1e-6)
    assert resumed.n_steps == whole.n_steps == 4
    forgetful = train(NETWORK, Training(half.tensors), data, replace(recipe, max_iter=2), seed=0)
    assert np.abs(listed(forgetful.tensors)[0] - listed(whole.tensors)[0]).max() > 1e-4


# -- stopping --------------------------------------------------------------------------------------------


class ScriptedScores:
    """Replaces an evaluator: returns given accuracies or losses, and records the parameters."""

    def __init__(self, accuracies=None, losses=None):
        self.accuracies, self.losses = accuracies, losses
        self.shown = []

    def accuracy_and_loss(self, network, tensors, targets, weights=None):
        self.shown.append([np.array(array) for array in listed(tensors)])
        look = len(self.shown) - 1
        return 0.5 if self.accuracies is None else self.accuracies[look], 0.0 if self.losses is None else self.losses[
            look
        ]


def stop_early(data, scores, **changes):
    recipe = replace(RECIPE, early_stopping=True, max_iter=len(scores), **changes)
    evaluator = ScriptedScores(scores)
    result = train(NETWORK, start(), data, recipe, seed=0, validation=(evaluator, np.zeros(1, dtype=np.int64), None))
    return result, evaluator


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.5, 0.9, 0.7, 0.6], 1), ([0.1, 0.2, 0.3], 2), ([0.8, 0.8, 0.8], 0), ([0.0, 0.0], 0), ([0.9, 0.1, 0.9], 0)],
)
def test_early_stopping_keeps_the_best_epoch(data, scores, best):
    result, evaluator = stop_early(data, scores)
    assert_equal(listed(result.tensors), evaluator.shown[best])
    assert result.validation_scores == scores
    assert len(result.loss_curve) == len(scores)


def epochs_until_stop(costs, tol, patience) -> int:
    """scikit-learn's rule, in words: so many epochs in a row that do not beat the best cost by tol."""
    best, waited = np.inf, 0
    for epoch, cost in enumerate(costs):
        waited = waited + 1 if cost > best - tol else 0
        best = min(best, cost)
        if waited == patience:
            return epoch + 1
    return len(costs)


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("tol", [0.0, 0.05, 0.5, -float("inf")])
@pytest.mark.parametrize(
    "scores",
    [
        [0.5, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9, 0.9],
        [0.50, 0.52, 0.54, 0.56, 0.58, 0.60, 0.62],
        [0.9, 0.8, 0.95, 0.7, 0.6, 0.5],
    ],
    ids=["stalls", "creeps", "falls"],
)
def test_training_stops_when_the_score_stalls(data, scores, tol, patience):
    result, _ = stop_early(data, scores, tol=tol, n_iter_no_change=patience)
    assert len(result.loss_curve) == epochs_until_stop([-score for score in scores], tol, patience)


@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_when_the_loss_stalls(data, patience):
    recipe = replace(RECIPE, learning_rate_init=1e-9, tol=1e-4, n_iter_no_change=patience, max_iter=20)
    assert len(train(NETWORK, start(), data, recipe, seed=0).loss_curve) == 1 + patience
    endless = replace(recipe, tol=-float("inf"))
    assert len(train(NETWORK, start(), data, endless, seed=0).loss_curve) == 20


def test_a_short_training_has_its_looks_too(data):
    """Fifty at least, if it has as many updates."""
    evaluator = ScriptedScores(losses=np.ones(1000))
    recipe = replace(RECIPE, early_stopping="measure", max_iter=30)
    train(NETWORK, start(), data, recipe, seed=0, validation=(evaluator, np.zeros(1, dtype=np.int64), None))
    n_steps = 30 * -(-len(data) // RECIPE.batch_size)
    assert n_steps < 5000
    assert len(evaluator.shown) - 30 >= min(n_steps, 50)


def test_measuring_tells_where_the_loss_was_lowest_and_trains_to_the_end(data, monkeypatch):
    monkeypatch.setattr(loop, "STEPS_BETWEEN_LOOKS", 2)
    monkeypatch.setattr(loop, "MIN_LOOKS", 1)
    n_batches = -(-len(data) // RECIPE.batch_size)
    recipe = replace(RECIPE, early_stopping="measure", max_iter=2, tol=10.0, n_iter_no_change=1)
    # Looks every two steps, and one after each epoch for the score of the epoch.
    looks = [("step", step) for step in range(1, 2 * n_batches + 1) if step % 2 == 0]
    order = sorted(
        [*looks, ("epoch", n_batches), ("epoch", 2 * n_batches)], key=lambda look: (look[1], look[0] == "epoch")
    )
    lowest = looks[len(looks) // 2]
    evaluator = ScriptedScores(
        losses=[0.1 if look == lowest else 0.01 if look[0] == "epoch" else 0.9 for look in order]
    )
    validation = evaluator, np.zeros(1, dtype=np.int64), None
    measured = train(NETWORK, start(), data, recipe, seed=0, validation=validation)
    assert measured.early_stop_step == lowest[1]
    assert_equal(listed(measured.early_stop_tensors), evaluator.shown[order.index(lowest)])
    plain = train(NETWORK, start(), data, replace(recipe, early_stopping=False, n_iter_no_change=9), seed=0)
    assert_equal(listed(measured.tensors), listed(plain.tensors))
    assert plain.early_stop_step is None


def test_early_stopping_of_a_classifier(digits, make):
    classifier = make(early_stopping=True, max_iter=30, n_iter_no_change=3, tol=0.002)
    classifier.fit(digits.X_train, digits.y_train)
    scores = classifier.validation_scores_
    assert len(scores) == classifier.n_iter_ == epochs_until_stop([-score for score in scores], 0.002, 3) < 30
    assert classifier.score(digits.X_test, digits.y_test) > 0.8


def test_validation_data_are_not_trained_on(blobs, make):
    """The loss is a mean over the rest."""
    events = []
    make(early_stopping=True, validation_fraction=0.4, max_iter=1).fit(*blobs, on_event=events.append)
    assert events[-1].samples == 54


# -- divergence ------------------------------------------------------------------------------------------


@both_solvers
def test_divergence_is_one_clear_sentence(data, solver):
    network = MLPNetwork((4, 8, 6, 3), "relu", True)
    recipe = replace(RECIPE, solver=solver, learning_rate_init=1e30)
    with pytest.raises(TrainingDiverged, match=r"diverged in epoch \d.*learning_rate_init \(now 1e\+30\)") as caught:
        train(network, start(network), data, recipe, seed=0)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("schedule", ["gradual", "set", "rigl", "l1", "l0", "synaptic", "rewind", "before-training"])
def test_divergence_while_pruning_is_said_as_such(blobs, make, schedule):
    classifier = make(schedule=schedule, learning_rate_init=1e30, sparsity=0.5)
    with pytest.raises(TrainingDiverged, match="lower learning_rate_init"):
        classifier.fit(*blobs)


@both_solvers
def test_divergence_in_the_last_step_is_noticed_too(blobs, make, solver):
    """The loss of an epoch is that before its last update, which may be the one that ruins the weights."""
    X, y = blobs
    classifier = make(solver=solver, learning_rate_init=3e38, max_iter=1, batch_size=90)
    with pytest.raises(TrainingDiverged):
        classifier.fit(X * 1e20, y)


# -- events ----------------------------------------------------------------------------------------------


@pytest.fixture
def every_batch(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_EVENTS", 0.0)


@pytest.mark.usefixtures("every_batch")
def test_events_add_up(data):
    events = []
    result = train(NETWORK, start(), data, RECIPE, seed=0, phase="testing", on_event=events.append)
    batches = [event for event in events if isinstance(event, BatchEnded)]
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert len(events) == len(batches) + len(epochs) == 4 * 4 + 4
    assert {event.phase for event in events} == {"testing"}
    assert [(event.epoch, event.batch) for event in batches] == [(e, b) for e in (1, 2, 3, 4) for b in (1, 2, 3, 4)]
    assert {(event.epochs, event.batches) for event in batches} == {(4, 4)}
    assert [event.samples for event in batches[:5]] == [25, 50, 75, 90, 115]
    assert [(event.epoch, event.epochs, event.samples) for event in epochs] == [(e, 4, 90 * e) for e in (1, 2, 3, 4)]
    assert [event.loss for event in epochs] == result.loss_curve
    assert [event.loss for event in batches[3::4]] == pytest.approx(result.loss_curve)
    assert all(event.validation_score is None for event in epochs)
    for one, other in pairwise(events):
        assert other.samples >= one.samples
        assert other.seconds >= one.seconds >= 0


def test_events_are_few(data):
    events = []
    train(NETWORK, start(), data, replace(RECIPE, batch_size=1, max_iter=2), seed=0, on_event=events.append)
    batches = [event for event in events if isinstance(event, BatchEnded)]
    assert len(batches) <= 1 + events[-1].seconds / loop.SECONDS_BETWEEN_EVENTS
    assert [type(event) for event in events].count(EpochEnded) == 2


@pytest.mark.usefixtures("every_batch")
def test_listening_changes_nothing(data):
    silent = train(NETWORK, start(), data, RECIPE, seed=0)
    heard = train(NETWORK, start(), data, RECIPE, seed=0, on_event=lambda event: None)
    assert_equal(listed(silent.tensors), listed(heard.tensors))
    assert silent.loss_curve == heard.loss_curve


def test_the_phases_and_scores_of_a_fit(blobs, make):
    events = []
    classifier = make(early_stopping=True, fine_tune_iter=2, sparsity=0.5, max_iter=3).fit(
        *blobs, on_event=events.append
    )
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [event.phase for event in epochs] == ["training"] * 3 + ["fine-tuning"] * 2
    assert [event.validation_score for event in epochs] == [*classifier.validation_scores_, None, None]
    assert [event.loss for event in epochs[3:]] == classifier.fine_tune_loss_curve_


class Enough(Exception):  # noqa: N818 (not an error)
    """Raised by a listener."""


@pytest.mark.usefixtures("every_batch")
@pytest.mark.parametrize("kind", [BatchEnded, EpochEnded])
@pytest.mark.parametrize("error", [Enough, KeyboardInterrupt])
def test_a_listener_may_end_the_training(blobs, make, kind, error):
    def listen(event):
        if isinstance(event, kind):
            raise error

    classifier = make()
    with pytest.raises(error):
        classifier.fit(*blobs, on_event=listen)
    assert not hasattr(classifier, "coefs_")
    classifier.fit(*blobs)
    assert_equal(classifier.coefs_, make().fit(*blobs).coefs_)


def test_listeners_are_called_where_the_fit_was(blobs, make):
    """In the thread of the caller, and none other is left behind."""
    threads = set()
    before = set(threading.enumerate())
    make(fine_tune_iter=1).fit(*blobs, on_event=lambda event: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}
    assert set(threading.enumerate()) == before


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.timeout(60)
def test_ctrl_c_ends_a_fit_that_nobody_listens_to(blobs, make):
    before = set(threading.enumerate())
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            make(max_iter=10**7, n_iter_no_change=10**7).fit(*blobs)
        interrupt.join()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert set(threading.enumerate()) == before
    make().fit(*blobs)


def test_fits_side_by_side_do_not_disturb_each_other(blobs, make):
    def fit(seed):
        return make(random_state=seed, max_iter=20).fit(*blobs).coefs_

    together = Parallel(n_jobs=3, prefer="threads")(delayed(fit)(seed) for seed in range(6))
    for seed, coefs in enumerate(together):
        assert_equal(coefs, fit(seed))


def test_a_fitted_classifier_survives_a_fit_that_was_ended(blobs, make):
    def listen(event):
        raise Enough

    classifier = make(sparsity=0.5).fit(*blobs)
    before = classifier.predict_proba(blobs[0])
    with pytest.raises(Enough):
        classifier.fit(blobs[0] + 1, blobs[1], on_event=listen)
    np.testing.assert_array_equal(classifier.predict_proba(blobs[0]), before)


def test_verbose_prints_each_epoch(blobs, make, capsys):
    make(verbose=True, max_iter=2, fine_tune_iter=1, early_stopping=True).fit(*blobs)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch 2 of 2 (training), loss = ")]
    assert len([line for line in lines if line.startswith("Epoch")]) == 3
    assert len([line for line in lines if line.startswith("Validation score: ")]) == 2
    make(max_iter=2).fit(*blobs)
    assert capsys.readouterr().out == ""


def test_the_step_size_falls_as_a_half_cosine(data):
    """Against torch's own scheduler, on plain descent, step by step."""
    recipe = replace(RECIPE, solver="sgd", momentum=0.0, learning_rate="cosine", max_iter=3, learning_rate_init=0.3)
    result = train(NETWORK, start(), data, recipe, seed=0)
    parameters = [torch.tensor(p).requires_grad_() for p in listed(start().tensors)]
    optimiser = torch.optim.SGD(parameters, lr=0.3)
    n_batches = -(-len(data) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 3 * n_batches)
    for epoch in range(3):
        for rows in loop._shuffled(len(data), 0, 0, epoch, CPU).split(recipe.batch_size):
            optimiser.zero_grad()
            logits = NETWORK.forward(named(parameters), data.inputs[rows])
            torch.nn.functional.cross_entropy(logits, data.targets[rows]).backward()
            optimiser.step()
            schedule.step()
    assert_close(listed(result.tensors), [p.detach().numpy() for p in parameters])
