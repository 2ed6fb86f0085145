"""Cached trainings: damage leads to a new training, nothing is executed, and others cannot look in."""

from __future__ import annotations

import os
import pickle
import stat
import warnings

import joblib
import numpy as np
import pytest
from prunelab.estimators import PrunedMLPClassifier
from prunelab.estimators.cache import SUBFOLDER, TrainingCache
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.training.state import Training


def epochs_trained(classifier, X, y) -> int:
    """How many epochs of dense training a fit takes."""
    events = []
    classifier.fit(X, y, on_event=events.append)
    return sum(getattr(event, "phase", "") == "training" and hasattr(event, "validation_score") for event in events)


def flip(path, position) -> None:
    content = bytearray(path.read_bytes())
    content[position // 8] ^= 1 << position % 8
    path.write_bytes(content)


@pytest.fixture
def files(tmp_path):
    """The files in the cache in `tmp_path`."""
    return lambda: sorted((tmp_path / SUBFOLDER).iterdir())


NETWORK = MLPNetwork((2, 3, 2))
TRAINING = Training(
    {"hidden1.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "output.weight": np.ones((3, 2), np.float32)},
    loss_curve=[0.3, float("inf"), 0.1 + 0.2],
    validation_scores=[0.5, 1.0],
    moments=[{"output.weight": np.zeros((2, 3), np.float32)}, {"output.weight": np.ones((3, 2), np.float32)}],
    n_steps=17,
    monitored=[0.25],
    early_stop_step=12,
    early_stop_tensors={"output.weight": np.full((2, 3), 7, np.float32)},
)


def test_everything_in_a_training_comes_back(tmp_path):
    cache = TrainingCache(tmp_path)
    assert cache.load("a", NETWORK) is None
    cache.save("a", TRAINING)
    loaded = cache.load("a", NETWORK)
    np.testing.assert_equal(vars(loaded), vars(TRAINING))


@pytest.mark.parametrize(
    "n_flips", [500, pytest.param(4000, marks=pytest.mark.slow), pytest.param(20_000, marks=pytest.mark.exhaustive)]
)
def test_a_flipped_bit_is_always_noticed(tmp_path, n_flips):
    cache = TrainingCache(tmp_path)
    cache.save("a", TRAINING)
    path = cache.path("a")
    content = path.read_bytes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for position in np.random.default_rng(0).integers(8 * len(content), size=n_flips):
            path.write_bytes(content)
            flip(path, position)
            assert cache.load("a", NETWORK) is None
    assert len(caught) == n_flips


def test_a_damaged_training_is_computed_again_and_replaced(blobs, make, tmp_path, files):
    expected = make(memory=tmp_path).fit(*blobs)
    (path,) = files()
    content = path.read_bytes()
    flip(path, 8 * (len(content) - 3))  # in the numbers themselves
    again = make(memory=tmp_path)
    with pytest.warns(UserWarning, match="the training is computed again.*checksum"):
        assert epochs_trained(again, *blobs) == 5
    np.testing.assert_array_equal(again.predict_proba(blobs[0]), expected.predict_proba(blobs[0]))
    assert files() == [path]
    assert path.read_bytes() == content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert epochs_trained(make(memory=tmp_path), *blobs) == 0


def test_a_file_of_another_training_is_not_used(blobs, make, tmp_path, files):
    make(memory=tmp_path, random_state=1).fit(*blobs)
    (other,) = files()
    make(memory=tmp_path).fit(*blobs)
    (path,) = set(files()) - {other}
    path.write_bytes(other.read_bytes())
    with pytest.warns(UserWarning, match="another training"):
        assert epochs_trained(make(memory=tmp_path), *blobs) == 5


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_only_the_owner_can_look_in(blobs, make, tmp_path, umask):
    folder = tmp_path / "new" / "cache"
    before = os.umask(umask)
    try:
        make(memory=folder).fit(*blobs)
    finally:
        os.umask(before)
    for path in (tmp_path / "new", folder, folder / SUBFOLDER):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (path,) = (folder / SUBFOLDER).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_unpickled(blobs, make, tmp_path, monkeypatch):
    """Also not from a folder that joblib filled."""

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    memory = joblib.Memory(tmp_path, verbose=0)
    memory.cache(len)([1, 2])
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(joblib, "load", refuse)
    for _ in range(2):
        make(memory=memory).fit(*blobs)


def test_links_are_not_followed(blobs, make, tmp_path, files):
    make(memory=tmp_path).fit(*blobs)
    (path,) = files()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="symbolic link"):
        make(memory=tmp_path).fit(*blobs)
    assert not path.is_symlink()


def test_a_cache_that_cannot_be_written_is_reported(blobs, make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match=r"not kept in memory='.*file': Not a directory"):
        classifier = make(memory=tmp_path / "file").fit(*blobs)
    np.testing.assert_array_equal(classifier.predict(blobs[0]), make().fit(*blobs).predict(blobs[0]))


def test_a_memory_without_a_folder_keeps_nothing(blobs, make):
    assert isinstance(make(memory=joblib.Memory(None)).fit(*blobs), PrunedMLPClassifier)


def test_temporary_files_of_killed_processes_are_removed(blobs, make, tmp_path, files):
    make(memory=tmp_path).fit(*blobs)
    old, new = (tmp_path / SUBFOLDER / f".{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (1e9, 1e9))
    make(memory=tmp_path, random_state=1).fit(*blobs)
    assert not old.exists()
    assert new.exists()  # another process may be writing it
