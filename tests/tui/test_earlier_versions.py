"""Runs that the version before wrote, without checksums: they can be looked at, explored, exported and resumed."""

from __future__ import annotations

import json
import shutil

import pytest
from prunelab.estimators import PrunedMLPClassifier, load_dataset
from prunelab.estimators.files import unpack_arrays
from prunelab.estimators.persistence import FORMAT, VERSION
from prunelab.tui.cli import main
from prunelab.tui.runs.spec import METHODS, RunSpec
from prunelab.tui.runs.store import RunStore
from prunelab.tui.service.explorer import OPERATIONS
from prunelab.tui.service.server import Request

from .working import work


@pytest.fixture
def run(data_folder, tmp_path, monkeypatch):
    """A run that was stopped after 8 of 12 points, in the training of the second of two seeds."""
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    store = RunStore()
    shutil.copytree(data_folder / "earlier" / "run", store.folder / "20260101-000000-digits-0000")
    return store.find("earlier")


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


# -- methods that have changed -------------------------------------------------------------------------------------


def old(**changes):
    """The JSON of a spec as the version before the parameter `normalize` wrote it."""
    written = RunSpec(parameters={"hidden_layer_sizes": (30, 10), "max_iter": 1, "device": "cpu"}).to_json()
    return {name: value for name, value in {**written, **changes}.items() if name != "methods"}


def test_units_are_still_ranked_across_the_network_by_raw_scores():
    ways = {"granularity": ["weight", "unit"], "scope": ["layer", "global"]}
    spec = RunSpec.from_json(old(ways=ways))
    assert {variant["normalize"] for variant in spec.variants} == {"none"}
    assert RunSpec.from_json(spec.to_json()) == spec
    rows = [{"granularity": "unit", "scope": "global", "norm": 2}]
    assert spec.with_ways(rows[0])["normalize"] == "none"
    fresh = RunSpec.from_json({**old(ways=ways), "methods": METHODS})
    assert "normalize" not in fresh.ways
    assert not fresh.is_like(spec)
    for other in ({"granularity": ["weight"], "scope": ["global"]}, {"granularity": ["unit"]}):
        assert RunSpec.from_json(old(ways=other)).is_like(RunSpec.from_json({**old(ways=other), "methods": METHODS}))


@pytest.mark.parametrize(("stored", "now"), [({}, "auto"), ("erk", "auto"), ("uniform", "uniform")])
def test_the_distribution_of_set_and_rigl_has_another_name_now(stored, now):
    parameters = {"density_distribution": stored} if stored else {}
    spec = RunSpec.from_json({**old(parameters=parameters, ways={"schedule": ["set"]}), "methods": METHODS})
    assert {variant.get("distribution", "auto") for variant in spec.variants} == {now}
    assert spec.parameters == {}
    assert RunSpec.from_json(spec.to_json()) == spec
    assert spec.place_of({"seed": 0, "schedule": "set", "sparsity": spec.sparsities[1]}) == 1


def test_names_of_layers_are_kept_with_a_run():
    spec = RunSpec(parameters={"exclude_layers": ("hidden1",), "min_kept": 0.1})
    assert RunSpec.from_json(spec.to_json()) == spec
    assert not spec.problems()


def test_a_run_that_is_resumed_keeps_the_ranking_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    written = old(ways={"granularity": ["unit"], "scope": ["global"]}, sparsities=[0.5])
    begun = RunStore().create(RunSpec.from_json(written))
    assert work(begun) == "finished"
    data = load_dataset("digits")
    settings = {**begun.spec.parameters, "random_state": 0, "granularity": "unit", "scope": "global", "sparsity": 0.5}
    raw, by_mean = (
        PrunedMLPClassifier(**settings, normalize=how).fit(data.X_train, data.y_train) for how in ("none", "mean")
    )
    (row,) = begun.points()
    assert row["normalize"] == "none"
    assert row["nonzero"] == raw.n_nonzero_ != by_mean.n_nonzero_


@pytest.mark.parametrize("criterion", ["synflow", "taylor", "activation"])
def test_a_run_whose_criterion_ranks_otherwise_now_is_not_resumed_and_no_study_counts_it(criterion, run, capsys):
    ways = {"granularity": ["weight"], "criterion": [criterion]}
    written, fresh = RunSpec.from_json(old(ways=ways)), RunSpec.from_json({**old(ways=ways), "methods": METHODS})
    assert (written.is_outdated, fresh.is_outdated) == (True, False)
    assert not written.is_like(fresh)
    path = run.path / "run.json"
    described = json.loads(path.read_text())
    described["spec"]["ways"] = ways
    path.write_text(json.dumps(described))
    run.events_path.write_text(run.events_path.read_text().replace('"magnitude"', f'"{criterion}"'))
    assert main(["runs", "resume", "earlier"]) == 2
    printed = capsys.readouterr().err
    assert "start a new run" in printed
    assert printed.count("\n") == 1


def test_a_model_keeps_its_ranking(run):
    with pytest.warns(UserWarning, match="without a checksum"):
        assert PrunedMLPClassifier.load(run.model_path(0)).normalize == "none"
