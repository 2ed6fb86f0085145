"""Controls of every schedule: the same counts with other places, other weights, or the other end of the ranking."""

from __future__ import annotations

import numpy as np
import pytest
from prunelab.estimators import PrunedMLPClassifier, iter_sparsity_path, sparsity_path
from prunelab.estimators.parameters import conflicts
from prunelab.estimators.presets import variants_of
from prunelab.estimators.schedules.catalogue import SCHEDULE_RECORDS, SCHEDULES, SHORT_FOR
from prunelab.estimators.training.events import EpochEnded

from .lists import listed, unit_masks, weight_masks

ALL = [name for name in SCHEDULES if name not in SHORT_FOR]
ONE_ENDED = [name for name, record in SCHEDULE_RECORDS.items() if record.is_one_ended]
TWO_ENDED = [name for name in ALL if name not in ONE_ENDED]
FROM_START = [name for name in ALL if name not in ("one-shot", "iterative")]


def make(schedule, **settings):
    settings = {"fine_tune_iter": 1 if schedule == "iterative" else 0, "n_rounds": 2, "max_iter": 3, **settings}
    return PrunedMLPClassifier(
        (16, 12), schedule=schedule, random_state=0, device="cpu", **{"sparsity": 0.6, **settings}
    )


def counts(masks):
    return [int(mask.sum()) for mask in masks]


def assert_equal(ones, others):
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)


def differ(ones, others):
    return any((one != other).any() for one, other in zip(ones, others, strict=True))


@pytest.mark.parametrize("schedule", ALL)
@pytest.mark.parametrize("control", ["shuffle", "reinit"])
@pytest.mark.parametrize("fine_tune_iter", [1, 2])
def test_counts_stay_and_what_was_removed_stays_zero(schedule, control, fine_tune_iter, blobs):
    found = make(schedule, fine_tune_iter=fine_tune_iter).fit(*blobs)
    checked = make(schedule, control=control, fine_tune_iter=fine_tune_iter).fit(*blobs)
    assert counts(weight_masks(checked)) == counts(weight_masks(found))
    assert differ(weight_masks(checked), weight_masks(found)) == (control == "shuffle")
    for coef, mask in zip(checked.coefs_, weight_masks(checked), strict=True):
        assert not coef[~mask].any()
        assert coef[mask].any()
    assert differ(checked.coefs_, found.coefs_)
    assert checked.sparsity_ == found.sparsity_


@pytest.mark.parametrize("schedule", ["one-shot", "iterative"])
def test_the_dense_network_is_trained_once(schedule, blobs):
    events = []
    make(schedule, control="shuffle").fit(*blobs, on_event=events.append)
    assert [event.epoch for event in events if isinstance(event, EpochEnded) and event.phase == "training"] == [1, 2, 3]


@pytest.mark.parametrize("control", ["shuffle", "reinit"])
@pytest.mark.parametrize("schedule", ["one-shot", "iterative", "rewind", "gradual", "before-training", "l0"])
def test_units_are_controlled_as_a_whole(schedule, control, blobs):
    found, checked = (make(schedule, granularity="unit", control=c).fit(*blobs) for c in ("none", control))
    assert counts(unit_masks(checked)) == counts(unit_masks(found))
    for before, after in zip(unit_masks(checked), weight_masks(checked)[1:], strict=False):
        np.testing.assert_array_equal(after.any(axis=1), before)


@pytest.mark.parametrize("schedule", TWO_ENDED)
@pytest.mark.parametrize("order", ["smallest", "largest"])
def test_inversion_removes_the_other_end(schedule, order, blobs):
    other = {"smallest": "largest", "largest": "smallest"}[order]
    inverted, opposite = make(schedule, control="invert", order=order), make(schedule, order=other)
    assert_equal(inverted.fit(*blobs).coefs_, opposite.fit(*blobs).coefs_)


def test_shuffling_keeps_the_trained_weights_where_there_is_no_retraining(blobs):
    dense = make("one-shot", sparsity=0.0).fit(*blobs)
    shuffled = make("one-shot", control="shuffle").fit(*blobs)
    for coef, mask, trained in zip(shuffled.coefs_, weight_masks(shuffled), dense.coefs_, strict=True):
        np.testing.assert_array_equal(coef, np.where(mask, trained, 0))


@pytest.mark.parametrize("schedule", FROM_START)
@pytest.mark.parametrize("control", ["shuffle", "reinit"])
def test_the_control_of_a_sparse_training_is_a_training_with_fixed_masks(schedule, control, blobs):
    """From the initial weights, or others: written out with `before-training`, which trains with fixed masks, too."""
    checked = make(schedule, control=control).fit(*blobs)
    phases: dict[str, int] = {}

    def listen(event):
        if isinstance(event, EpochEnded):
            phases[event.phase] = event.epochs

    make(schedule, control=control).fit(*blobs, on_event=listen)
    name = {"shuffle": "control: a random mask", "reinit": "control: other initial weights"}[control]
    assert phases[name] == checked.max_iter == checked.n_iter_


@pytest.mark.parametrize(("schedule", "meaning"), SHORT_FOR.items())
def test_the_older_names_are_short_for_rewinding_with_a_control(schedule, meaning, blobs):
    name, control = meaning
    short, long = make(schedule).fit(*blobs), make(name, control=control).fit(*blobs)
    assert_equal(short.coefs_, long.coefs_)
    assert_equal(weight_masks(short), weight_masks(long))


@pytest.mark.parametrize("schedule", ["one-shot", "rewind", "gradual", "before-training"])
@pytest.mark.parametrize("control", ["shuffle", "reinit", "invert"])
def test_paths_and_fits_agree_and_nothing_removed_is_the_dense_network(schedule, control, blobs):
    classifier = make(schedule, control=control)
    path = sparsity_path(classifier, *blobs, sparsities=(0.0, 0.5, 0.8))
    dense = make("one-shot", sparsity=0.0).fit(*blobs)
    assert_equal(listed(path.tensors[0]), dense.coefs_)
    for sparsity, tensors in zip((0.5, 0.8), path.tensors[1:], strict=True):
        assert_equal(listed(tensors), classifier.set_params(sparsity=sparsity).fit(*blobs).coefs_)


@pytest.mark.parametrize("control", ["shuffle", "reinit", "invert"])
def test_masks_of_a_path_are_nested(control, blobs):
    path = sparsity_path(make("one-shot", control=control), *blobs, sparsities=(0.3, 0.5, 0.9))
    for lower, higher in zip(path.masks, path.masks[1:], strict=False):
        assert not any((after & ~before).any() for before, after in zip(lower.values(), higher.values(), strict=True))


def test_variants_of_a_path_share_the_search_of_a_ticket(blobs):
    trained = []

    def listen(event):
        if isinstance(event, EpochEnded) and event.epoch == event.epochs:
            trained.append(event.phase)

    variants = variants_of({"control": ("none", "shuffle", "reinit")})
    points = list(iter_sparsity_path(make("rewind"), *blobs, sparsities=(0.6,), variants=variants, on_event=listen))
    assert trained == [
        "training", "ticket of 63.2 %", "ticket of 40 %", "control: a random mask", "control: other initial weights",
    ]  # fmt: skip
    assert [point.row["control"] for point in points] == ["none", "shuffle", "reinit"]
    assert len({point.row["updates"] for point in points}) == 1


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        *(({"schedule": name, "control": "invert"}, ["control"]) for name in ONE_ENDED),
        *(({"schedule": name, "control": "shuffle"}, ["control"]) for name in SHORT_FOR),
        ({"criterion": "random", "control": "invert"}, ["control"]),
        ({"criterion": "random", "control": "shuffle"}, []),
        ({"control": "shuffle", "warm_start": True}, ["warm_start"]),
        ({"control": "invert", "warm_start": True}, []),
        ({"control": "reinit", "early_stopping": True}, ["early_stopping"]),
        ({"control": "reinit", "early_stopping": "measure"}, []),
        ({"schedule": "set", "control": "shuffle"}, []),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(parameters, wrong):
    found = conflicts(parameters)
    assert list(found) == wrong
    assert all(sentence.startswith(name) for name, sentence in found.items())


def test_partial_fit_has_no_controls(blobs):
    with pytest.raises(ValueError, match="control='none'"):
        make("one-shot", control="shuffle").partial_fit(*blobs)
