"""Retraining: its step sizes, and how many updates a network has behind it."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from prunelab.estimators import PrunedMLPClassifier, PruningWarning, iter_sparsity_path, sparsity_path
from prunelab.estimators.fitting import Retraining
from prunelab.estimators.parameters import DEFAULTS, conflicts
from prunelab.estimators.path import COLUMNS
from prunelab.estimators.studies.catalogue import STUDIES, parts_of
from prunelab.estimators.training.state import Recipe

N_BATCHES = 2  # of the blobs, in batches of 50


def make(**settings):
    settings = {"max_iter": 4, "batch_size": 50, "sparsity": 0.5, **settings}
    return PrunedMLPClassifier((12, 8), random_state=0, device="cpu", **settings)


def recipe(learning_rate="constant", max_iter=10):
    return Recipe("adam", 0.1, 0.0, 0.9, 50, max_iter, 1e-4, 10, False, learning_rate)


def cosine(progress, first=0.1):
    return first / 2 * (1 + math.cos(math.pi * progress))


@pytest.mark.parametrize(
    ("training", "retraining", "expected"),
    [
        ("constant", Retraining(4), [0.1, 0.1, 0.1]),
        ("cosine", Retraining(4), [0.1, 0.05, 0.0]),
        ("constant", Retraining(4, 0.01), [0.01, 0.01, 0.01]),
        ("cosine", Retraining(4, 0.01, "constant"), [0.01, 0.01, 0.01]),
        ("constant", Retraining(4, 0.01, "cosine"), [0.01, 0.005, 0.0]),
        ("constant", Retraining(4, None, "rewind"), [0.1, 0.1, 0.1]),
        # The last 4 of 10 epochs.
        ("cosine", Retraining(4, None, "rewind"), [cosine(0.6), cosine(0.8), cosine(1.0)]),
        ("cosine", Retraining(10, None, "rewind"), [cosine(0.0), cosine(0.5), cosine(1.0)]),
    ],
)
def test_step_sizes_at_the_beginning_in_the_middle_and_at_the_end(training, retraining, expected):
    retrained = retraining.recipe(recipe(training))
    assert retrained.max_iter == retraining.epochs
    assert [retrained.rate(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx(expected)


def test_rewinding_the_rate_repeats_the_rates_of_the_last_epochs_exactly():
    whole, part = recipe("cosine", 10), Retraining(3, None, "rewind").recipe(recipe("cosine", 10))
    for epoch in range(3):
        for batch in range(5):
            progress = (epoch + batch / 5) / 3
            assert part.rate(progress) == pytest.approx(whole.rate((7 + epoch + batch / 5) / 10))


@pytest.mark.parametrize("schedule", ["one-shot", "iterative", "rewind", "gradual", "before-training"])
def test_retraining_with_hardly_a_step_changes_hardly_anything(schedule, blobs):
    settings = {"schedule": schedule, "n_rounds": 1, "fine_tune_iter": 2}
    still = make(**settings, fine_tune_learning_rate=1e-12).fit(*blobs)
    moved = make(**settings).fit(*blobs)
    alone = make(**({**settings, "fine_tune_iter": 0} if schedule != "iterative" else {})).fit(*blobs)
    for coef, before, after in zip(still.coefs_, alone.coefs_, moved.coefs_, strict=True):
        np.testing.assert_allclose(coef, before, atol=1e-7)
        assert not np.allclose(after, before, atol=1e-4)


def test_a_warm_restart_and_a_rewound_rate_are_different_networks(blobs):
    settings = {"learning_rate": "cosine", "fine_tune_iter": 2}
    found = {name: make(**settings, fine_tune_schedule=name).fit(*blobs) for name in ("auto", "cosine", "rewind")}
    np.testing.assert_array_equal(found["auto"].coefs_[0], found["cosine"].coefs_[0])
    assert not np.array_equal(found["auto"].coefs_[0], found["rewind"].coefs_[0])


def test_what_does_not_go_together():
    rewound = {"fine_tune_schedule": "rewind", "max_iter": 3}
    assert list(conflicts({**rewound, "fine_tune_iter": 3})) == []
    assert list(conflicts({**rewound, "fine_tune_iter": 4})) == ["fine_tune_iter"]
    assert list(conflicts({**rewound, "fine_tune_learning_rate": 0.1})) == ["fine_tune_learning_rate"]


# -- updates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({}, 4),
        ({"fine_tune_iter": 2}, 4 + 2),
        ({"schedule": "iterative", "fine_tune_iter": 2, "n_rounds": 3}, 4 + 3 * 2),
        ({"schedule": "rewind", "n_rounds": 3}, 4 + 3 * 4),
        ({"schedule": "rewind", "n_rounds": 3, "fine_tune_iter": 1}, 4 + 3 * 4 + 1),
        ({"schedule": "rewind", "n_rounds": 3, "rewind_step": 2}, 4 + 3 * 4),
        ({"schedule": "before-training", "fine_tune_iter": 1}, 4 + 1),
        *(
            ({"schedule": name, "fine_tune_iter": 1}, 4 + 1)
            for name in ("gradual", "set", "rigl", "l1", "l0", "synaptic")
        ),
        # Controls: what it took to find the masks, and the training with them.
        ({"control": "shuffle", "fine_tune_iter": 2}, 4 + 2),
        ({"control": "reinit", "fine_tune_iter": 2}, 4 + 4 + 2),
        ({"control": "invert"}, 4),
        ({"schedule": "iterative", "fine_tune_iter": 2, "n_rounds": 3, "control": "shuffle"}, 4 + 3 * 2),
        ({"schedule": "rewind", "n_rounds": 3, "control": "reinit"}, 4 + 3 * 4),
        ({"schedule": "rewind", "n_rounds": 3, "control": "shuffle"}, 4 + 3 * 4),
        ({"schedule": "before-training", "control": "reinit"}, 4),
        ({"schedule": "gradual", "control": "shuffle"}, 4 + 4),
    ],
    ids=str,
)
def test_updates_are_those_of_all_trainings_behind_a_network(settings, epochs, blobs):
    path = sparsity_path(make(**settings), *blobs, sparsities=(0.0, 0.5))
    assert path.frame["updates"].iloc[1] == epochs * N_BATCHES
    retrained = 0 if settings.get("schedule") == "iterative" else settings.get("fine_tune_iter", 0)
    assert path.frame["updates"].iloc[0] == (4 + retrained) * N_BATCHES
    assert "updates" in COLUMNS


def test_a_training_that_stops_early_counts_what_it_made(blobs):
    points = list(iter_sparsity_path(make(max_iter=50, tol=10.0, n_iter_no_change=3), *blobs, sparsities=(0.5,)))
    assert points[0].row["updates"] == len(points[0].dense.training.loss_curve) * N_BATCHES < 50 * N_BATCHES


def test_schedules_that_were_trained_longer_than_others_are_reported(blobs):
    variants = [{"schedule": "one-shot"}, {"schedule": "gradual"}]
    stops = make(max_iter=20, tol=10.0, n_iter_no_change=3)
    with pytest.warns(PruningWarning, match="4 of 20 epochs.*gradual.*n_iter_no_change=20"):
        list(iter_sparsity_path(stops, *blobs, sparsities=(0.5,), variants=variants))
    with warnings.catch_warnings():
        warnings.simplefilter("error", PruningWarning)
        list(iter_sparsity_path(stops, *blobs, sparsities=(0.5,)))
        equal = stops.set_params(n_iter_no_change=20)
        frame = [point.row for point in iter_sparsity_path(equal, *blobs, sparsities=(0.5,), variants=variants)]
    assert len({row["updates"] for row in frame}) == 1


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", STUDIES)
def test_no_training_of_a_study_stops_before_its_end(name, quick):
    """So that methods are compared after equal numbers of epochs, whether or not their schedule can be stopped."""
    for preset in parts_of(STUDIES[name], quick).values():
        given = {**DEFAULTS, **preset.parameters}
        assert given["early_stopping"] == "measure" or given["n_iter_no_change"] >= given["max_iter"]
