"""Results of studies on the disk: damaged ones are computed again, never used."""

from __future__ import annotations

import io
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from prunelab.tui.cli import build_parser, main
from prunelab.tui.commands.study import _specs, shares_of
from prunelab.tui.runs.store import RunStore

STUDY = ["study", "norms", "--quick", "--seeds", "1", "--device", "cpu", "--quiet", "--csv", "-"]
(SPEC,) = _specs(build_parser().parse_args(STUDY)).values()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished study, its only run, and the rows of that."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNELAB_HOME", str(home))
        assert main(STUDY) == 0
        (run,) = RunStore().runs()
    return run.path, run.points()


@pytest.fixture
def copy(finished, tmp_path, monkeypatch):
    """A copy of the folder, which tests may damage, in a store of its own."""
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    path = tmp_path / "runs" / finished[0].name
    shutil.copytree(finished[0], path)
    return path


def flipped(content: bytes, position: int) -> bytes:
    data = bytearray(content)
    data[position // 8] ^= 1 << position % 8
    return bytes(data)


@pytest.mark.parametrize("name", ["run.json", "status.json", "events.jsonl"])
@pytest.mark.parametrize(
    "n_flips", [100, pytest.param(4000, marks=pytest.mark.slow), pytest.param(20_000, marks=pytest.mark.exhaustive)]
)
def test_a_flipped_bit_never_changes_what_a_study_uses(finished, copy, name, n_flips):
    """A run is used with exactly the rows that it had, or not at all."""
    content, used = (copy / name).read_bytes(), 0
    for position in np.random.default_rng(0).integers(8 * len(content), size=n_flips):
        (copy / name).write_bytes(flipped(content, position))
        (share,) = shares_of(RunStore(), SPEC)
        if share.run is not None and share.state == "finished":
            used += 1
            assert share.run.points() == finished[1]
    assert used < n_flips or name == "status.json"  # which has no results


def test_a_study_with_a_damaged_point_gives_the_same_answer(finished, copy, capfd):
    log = copy / "events.jsonl"
    content = log.read_bytes()
    at = content.index(b'"accuracy"', content.index(b'"point"')) + len(b'"accuracy":0.')
    damaged = content[:at] + (b"1" if content[at : at + 1] != b"1" else b"2") + content[at + 1 :]
    log.write_bytes(damaged)
    assert main(STUDY) == 0
    answer = pd.read_csv(io.StringIO(capfd.readouterr().out))
    assert list(answer["accuracy"]) == [row["accuracy"] for row in finished[1]]
    assert len(os.listdir(copy.parent)) == 2  # the damaged run is still there


def test_a_study_of_convolutional_networks_is_made_of_their_runs(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    quick = ["--quick", "--seeds", "1", "--jobs", "1", "--device", "cpu", "--quiet", "--csv", "-"]
    assert main(["study", "norms", "--estimator", "cnn", *quick]) == 0
    (run,) = RunStore().runs()
    assert (run.spec.estimator, run.spec.dataset, run.spec.name) == ("cnn", "digits", "norms, cnn (quick)")
    frame = pd.read_csv(io.StringIO(capfd.readouterr().out))
    assert set(frame["method"]) == {1, 2, np.inf}
    assert main(["study", "tickets", "--estimator", "cnn", *quick]) == 2
    assert "about its own networks" in capfd.readouterr().err
