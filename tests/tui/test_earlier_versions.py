"""Runs that the version before wrote, without checksums: they can be looked at, explored, exported and resumed."""

from __future__ import annotations

import shutil

import pytest
from prunelab.estimators import PrunedMLPClassifier
from prunelab.estimators.files import unpack_arrays
from prunelab.estimators.persistence import FORMAT, VERSION
from prunelab.tui.cli import main
from prunelab.tui.runs.explorer import OPERATIONS
from prunelab.tui.runs.service import Request
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import RunStore
from prunelab.tui.runs.worker import Worker


@pytest.fixture
def run(data_folder, tmp_path, monkeypatch):
    """A run that was stopped after 8 of 12 points, in the training of the second of two seeds."""
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    store = RunStore()
    shutil.copytree(data_folder / "earlier" / "run", store.folder / "20260101-000000-digits-0000")
    return store.find("earlier")


def work(run):
    worker = Worker(run)
    try:
        return worker.work()
    finally:
        worker.close()


def test_it_can_be_looked_at_and_exported(run, tmp_path, capsys):
    assert (run.state, len(run.points())) == ("stopped", 8)
    assert main(["runs", "show", "earlier"]) == 0
    assert "8 of 12 points" in capsys.readouterr().out
    assert main(["runs", "export", "earlier", "-o", str(tmp_path / "model.safetensors")]) == 0
    with pytest.warns(UserWarning, match="without a checksum"):
        assert PrunedMLPClassifier.load(tmp_path / "model.safetensors").n_features_in_ == 64


def test_exploring_it_shows_that_its_network_is_unverified(run):
    fields = {
        "model": str(run.model_path(0)),
        "source": run.spec.source.to_json(),
        "content": None,
        "sparsity": 0.5,
        "ways": {"granularity": "weight"},
        "first": 0,
        "count": 1,
    }
    answers = list(OPERATIONS["prune"](Request({"id": 0, "group": None, **fields}, {})))
    notes = [answer["note"] for answer in answers if "note" in answer]
    assert len(notes) == 1
    assert "without a checksum" in notes[0]


def test_it_is_resumed_and_notes_what_is_unverified(run, tmp_path):
    before = run.points()
    with pytest.warns(UserWarning, match="checkpoint-seed1.safetensors was written by an earlier version"):
        assert work(run) == "finished"
    assert len(run.points()) == 12
    assert run.points()[:8] == before
    notes = [event["text"] for event in run.events() if event["type"] == "note"]
    assert any("checkpoint-seed1.safetensors" in note for note in notes)


def test_the_points_that_it_computes_are_those_of_a_new_run(run, tmp_path):
    with pytest.warns(UserWarning, match="without a checksum"):
        work(run)
    new = RunStore(tmp_path / "new").create(RunSpec.from_json(run.spec.to_json()))
    assert work(new) == "finished"
    for old_row, new_row in zip(run.points(), new.points(), strict=True):
        assert old_row["accuracy"] == pytest.approx(new_row["accuracy"], abs=0.01)
        assert old_row["nonzero"] == new_row["nonzero"]
    assert unpack_arrays(new.model_path(0).read_bytes(), FORMAT, VERSION).is_verified
