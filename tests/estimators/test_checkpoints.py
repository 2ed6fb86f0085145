"""Trainings that are interrupted and go on: the same numbers as without the interruption, bit for bit."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from prunelab.estimators import PrunedMLPClassifier, UnverifiedFileWarning, iter_sparsity_path
from prunelab.estimators.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from prunelab.estimators.training import loop
from prunelab.estimators.training.events import BatchEnded, EpochEnded
from sklearn.datasets import make_classification

X, Y = make_classification(400, 20, n_informative=10, n_classes=3, random_state=0)
X = X.astype(np.float32)
SPARSITIES = (0.0, 0.5, 0.9)
WAYS = ({"granularity": "weight"}, {"granularity": "unit"})


class Interrupted(Exception):  # noqa: N818 (it is not an error)
    pass


def path(classifier, **settings):
    return list(
        iter_sparsity_path(
            classifier,
            X[:300],
            Y[:300],
            sparsities=SPARSITIES,
            variants=WAYS,
            X_test=X[300:],
            y_test=Y[300:],
            **settings,
        )
    )


def interrupted_at(classifier, where, monkeypatch):
    """The checkpoint of a training that stops when `where(event)` is true."""
    monkeypatch.setattr("prunelab.estimators.training.loop.SECONDS_BETWEEN_EVENTS", 0.0)  # an event for every batch
    kept = []

    def listen(event):
        if isinstance(event, (BatchEnded, EpochEnded)) and where(event):
            kept.append(event.checkpoint())
            raise Interrupted

    with pytest.raises(Interrupted):
        path(classifier, on_event=listen)
    return kept[0]


def in_the_middle(event):
    return isinstance(event, BatchEnded) and (event.epoch, event.batch) == (3, 5)


def between_epochs(event):
    return isinstance(event, EpochEnded) and event.epoch == 2


def after_the_last_epoch(event):
    return isinstance(event, EpochEnded) and event.epoch == event.epochs


@pytest.mark.parametrize("where", [in_the_middle, between_epochs, after_the_last_epoch])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "sgd", "alpha": 0.1, "fit_intercept": True},
        {"early_stopping": True},
        {"early_stopping": "measure"},
        {"precision": "bfloat16"},
        {"batch_size": 7},  # a short batch at the end of every epoch
    ],
    ids=str,
)
def test_going_on_from_a_checkpoint_gives_the_very_same_network(parameters, where, tmp_path, monkeypatch):
    classifier = PrunedMLPClassifier(
        (30, 20), random_state=3, device="cpu", **{"max_iter": 6, "batch_size": 32, **parameters}
    )
    monkeypatch.setattr(loop, "STEPS_BETWEEN_LOOKS", 3)
    monkeypatch.setattr(loop, "MIN_LOOKS", 1)
    whole = path(classifier)
    checkpoint = interrupted_at(classifier, where, monkeypatch)
    save_checkpoint(checkpoint, tmp_path / "c.safetensors")
    resumed = path(classifier, checkpoint=load_checkpoint(tmp_path / "c.safetensors"))
    assert [point.row for point in resumed] == [point.row for point in whole]
    assert resumed[0].dense.training.loss_curve == whole[0].dense.training.loss_curve
    assert resumed[0].dense.training.n_steps == whole[0].dense.training.n_steps
    for one, other in zip(resumed, whole, strict=True):
        for a, b in zip(one.model.tensors.values(), other.model.tensors.values(), strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    "other",
    [
        {"random_state": 1},
        {"learning_rate_init": 0.02},
        {"max_iter": 3},
        {"hidden_layer_sizes": (5,)},
        {"fit_intercept": True},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_training_is_not_gone_on_from(other, tmp_path, monkeypatch):
    parameters = {"hidden_layer_sizes": (4,), "max_iter": 4, "batch_size": 32, "random_state": 0, "device": "cpu"}
    checkpoint = interrupted_at(PrunedMLPClassifier(**parameters), in_the_middle, monkeypatch)
    save_checkpoint(checkpoint, tmp_path / "checkpoint")
    estimator = PrunedMLPClassifier(**{**parameters, **other})
    with pytest.warns(UserWarning, match="the checkpoint is of another training"):
        points = path(estimator, checkpoint=load_checkpoint(tmp_path / "checkpoint"))
    for point, expected in zip(points, path(estimator), strict=True):
        np.testing.assert_equal(point.model.tensors, expected.model.tensors)


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(monkeypatch):
    """It does not know which training it is of."""
    estimator = PrunedMLPClassifier((4,), max_iter=4, batch_size=32, random_state=0, device="cpu")
    checkpoint = interrupted_at(estimator, in_the_middle, monkeypatch)
    checkpoint.of = ""
    epochs = []
    path(estimator, checkpoint=checkpoint, on_event=lambda event: epochs.append(getattr(event, "epoch", 3)))
    assert min(epochs) == 3


def test_patience_is_remembered(monkeypatch):
    classifier = PrunedMLPClassifier(
        (10,), max_iter=50, learning_rate_init=1e-9, n_iter_no_change=4, random_state=0, device="cpu"
    )
    whole = path(classifier)[0].dense.training
    assert len(whole.loss_curve) == 5
    checkpoint = interrupted_at(
        classifier, lambda event: isinstance(event, EpochEnded) and event.epoch == 3, monkeypatch
    )
    assert path(classifier, checkpoint=checkpoint)[0].dense.training.loss_curve == whole.loss_curve


def test_points_that_are_known_are_left_out():
    classifier = PrunedMLPClassifier((10,), max_iter=2, random_state=0, device="cpu")
    rows = [point.row for point in path(classifier)]
    keys = [(variant, sparsity) for variant in range(len(WAYS)) for sparsity in SPARSITIES]
    for known in [[], keys[:3], keys[1::2], keys[-1:], keys[::-1]]:
        expected = [row for key, row in zip(keys, rows, strict=True) if key not in known]
        assert [point.row for point in path(classifier, skip=known)] == expected


def test_watching_the_test_data_changes_nothing_and_tells_the_accuracy():
    classifier = PrunedMLPClassifier((10,), max_iter=3, random_state=0, device="cpu")
    events = []
    watched = path(classifier, watch=True, on_event=events.append)
    assert [point.row for point in watched] == [point.row for point in path(classifier)]
    scores = [event.monitored for event in events if isinstance(event, EpochEnded)]
    assert len(scores) == 3
    assert scores[-1] == watched[0].row["accuracy"]


def test_a_point_gives_its_dense_network_too():
    classifier = PrunedMLPClassifier((10,), max_iter=2, random_state=0, device="cpu")
    dense = path(classifier)[-1].to_dense_classifier()
    fitted = classifier.fit(X[:300], Y[:300])
    assert dense.sparsity_ == 0
    np.testing.assert_array_equal(dense.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\0\0\0\0\0\0\0{}      "])
def test_what_is_no_checkpoint_is_refused(content, tmp_path):
    file = tmp_path / "c.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(file)


@pytest.fixture(scope="module")
def checkpoint_file(tmp_path_factory):
    """A checkpoint with everything in it: moments, curves, and the best parameters so far."""
    kept = []
    classifier = PrunedMLPClassifier((4,), max_iter=3, early_stopping=True, random_state=0, device="cpu")
    path(classifier, on_event=lambda event: kept.append(event.checkpoint()) if between_epochs(event) else None)
    file = tmp_path_factory.mktemp("checkpoint") / "c.safetensors"
    save_checkpoint(kept[0], file)
    return file


@pytest.mark.parametrize(
    "n_flips", [500, pytest.param(4000, marks=pytest.mark.slow), pytest.param(20_000, marks=pytest.mark.exhaustive)]
)
def test_a_flipped_bit_is_always_noticed(checkpoint_file, tmp_path, n_flips):
    content = checkpoint_file.read_bytes()
    file = tmp_path / "c.safetensors"
    for position in np.random.default_rng(0).integers(8 * len(content), size=n_flips):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        file.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            load_checkpoint(file)


def test_everything_in_a_checkpoint_comes_back(checkpoint_file, tmp_path):
    checkpoint = load_checkpoint(checkpoint_file)
    assert checkpoint.best
    assert checkpoint.training.moments
    save_checkpoint(checkpoint, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == checkpoint_file.read_bytes()


def test_a_checkpoint_of_the_earlier_version_loads_and_is_reported_as_unverified(data_folder):
    with pytest.warns(UnverifiedFileWarning, match="without a checksum"):
        checkpoint = load_checkpoint(data_folder / "earlier" / "run" / "checkpoint-seed1.safetensors")
    assert [array.shape for array in checkpoint.training.tensors.values()] == [(64, 6), (6, 5), (5, 10)]
    assert len(checkpoint.training.loss_curve) == checkpoint.epoch == 3


def test_a_link_is_not_followed(checkpoint_file, tmp_path):
    """In the folder of a run from another person, a link can point anywhere."""
    (tmp_path / "link").symlink_to(checkpoint_file)
    with pytest.raises(CheckpointError, match="symbolic link"):
        load_checkpoint(tmp_path / "link")
    save_checkpoint(load_checkpoint(checkpoint_file), tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()


def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_temporary_file(checkpoint_file, tmp_path, monkeypatch):
    checkpoint = load_checkpoint(checkpoint_file)
    save_checkpoint(checkpoint, tmp_path / "c")
    content = (tmp_path / "c").read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(checkpoint, tmp_path / "c")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "c").read_bytes() == content
    assert os.listdir(tmp_path) == ["c"]
