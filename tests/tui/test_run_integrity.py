"""Damaged files of runs: a flipped bit changes nothing silently, and resuming computes what was lost."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from prunelab.estimators.files import check_seal, json_text, sealed_json
from prunelab.tui.cli import main
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.events import EventReader
from prunelab.tui.runs.records import RecordError, read_record
from prunelab.tui.runs.schemas import Status
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunError, RunStore
from prunelab.tui.runs.view import watch

from .working import work

SPEC = RunSpec(
    parameters={"hidden_layer_sizes": (8,), "max_iter": 2, "device": "cpu"}, sparsities=(0.0, 0.5, 0.9), seeds=(0, 1)
)

#: Numbers of flipped bits per kind of file.
FLIPS = [
    250,
    pytest.param(4000, marks=pytest.mark.slow),
    pytest.param(20_000, marks=pytest.mark.exhaustive),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    """A finished run; not to be changed."""
    run = RunStore(tmp_path_factory.mktemp("runs")).create(SPEC)
    assert work(run) == "finished"
    return run


@pytest.fixture
def copy(finished, tmp_path) -> Run:
    """A run like it, to be damaged."""
    return Run(shutil.copytree(finished.path, tmp_path / finished.id))


def flipped(data: bytes, chance: random.Random) -> bytes:
    """The same with one bit changed."""
    damaged = bytearray(data)
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


# -- single bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_flips", FLIPS)
def test_a_flip_in_the_log_changes_no_event_silently(copy, n_flips):
    data = copy.events_path.read_bytes()
    events, rows = EventReader(copy.events_path).read(), copy.points()
    chance = random.Random(n_flips)
    for _ in range(n_flips):
        copy.events_path.write_bytes(flipped(data, chance))
        reader = EventReader(copy.events_path)
        found = reader.read()
        is_unfinished = found == events[:-1]  # the end of the last line is gone, so readers wait for it
        assert found == events or is_unfinished or reader.n_damaged or reader.n_unverified
        assert all(event in events for event in found) or reader.n_unverified  # never another event
        points, reader = copy.read_points()
        assert all(row in rows for row in points.rows)
        assert points.is_complete or reader.n_damaged


@pytest.mark.parametrize("n_flips", FLIPS)
def test_a_flip_in_run_json_does_not_change_what_a_resume_computes(copy, n_flips):
    path = copy.path / "run.json"
    data, spec, created = path.read_bytes(), copy.spec, copy.created
    chance = random.Random(n_flips)
    for _ in range(n_flips):
        path.write_bytes(flipped(data, chance))
        run = Run(copy.path)
        try:
            found = run.spec, run.created
        except RunError:
            continue
        assert found == (spec, created)


@pytest.mark.parametrize("n_flips", FLIPS)
def test_a_flip_in_status_json_is_reported(copy, n_flips):
    data, status = copy.status_path.read_bytes(), read_record(copy.status_path, Status)
    chance = random.Random(n_flips)
    for _ in range(n_flips):
        copy.status_path.write_bytes(flipped(data, chance))
        try:
            found = read_record(copy.status_path, Status)
        except RecordError:
            assert copy.status()["state"] == "unreadable"
            assert copy.status()["reason"]
        else:
            assert found == status


def test_a_checksum_covers_the_whole_object():
    data = sealed_json({"type": "point", "value": [1, 2.5, float("inf")], "text": "ü"})
    assert check_seal(data)
    assert not check_seal(json_text({"type": "point"}).encode())
    with pytest.raises(ValueError, match="checksum"):
        check_seal(data.replace(b"2.5", b"2.4"))


# -- whole lines -------------------------------------------------------------------------------------------------


def point_lines(run: Run) -> tuple[list[bytes], list[int]]:
    """The lines of the log, and which of them are points."""
    lines = run.events_path.read_bytes().splitlines(keepends=True)
    return lines, [i for i, line in enumerate(lines) if line.startswith(b'{"type": "point"')]


def lose(lines: list[bytes], at: int) -> None:
    del lines[at]


def duplicate(lines: list[bytes], at: int) -> None:
    lines.insert(at, lines[at])


def alter(lines: list[bytes], at: int) -> None:
    lines[at] = lines[at].replace(b'"accuracy": 0.', b'"accuracy": 0.9', 1)


def tear(lines: list[bytes], at: int) -> None:
    lines[at] = lines[at][: len(lines[at]) // 2]  # together with the line after it


def garble(lines: list[bytes], at: int) -> None:
    lines[at] = b"\x00\xff" * 50 + b"\n"


def move(lines: list[bytes], at: int) -> None:
    lines.append(lines.pop(at))


@pytest.mark.parametrize("damage", [lose, duplicate, alter, tear, garble, move])
@pytest.mark.parametrize("number", [0, 4, 11])
def test_resuming_ends_with_exactly_the_points_of_an_uninterrupted_run(copy, finished, damage, number):
    lines, places = point_lines(copy)
    assert len(places) == 12
    damage(lines, places[number])
    copy.events_path.write_bytes(b"".join(lines))
    expected = finished.points()
    kept = copy.points()
    assert all(row in expected for row in kept)
    assert len(kept) == len({(row["seed"], row["granularity"], row["sparsity"]) for row in kept})
    assert work(copy) == copy.state == "finished"
    assert copy.points() == expected
    assert watch(copy).view.rows == expected
    assert len(watch(copy).view.layers) == len(expected)


def test_points_of_another_run_do_not_count(copy, finished, tmp_path):
    other = RunStore(tmp_path / "others").create(RunSpec(parameters=SPEC.parameters, sparsities=(0.3,), seeds=(7,)))
    assert work(other) == "finished"
    lines, _ = point_lines(other)
    with open(copy.events_path, "ab") as log:
        log.writelines(lines)
    assert copy.points() == finished.points()


def test_a_damaged_finished_run_can_be_resumed_and_is_reported(copy, capsys, monkeypatch):
    monkeypatch.setenv("PRUNELAB_HOME", str(copy.path.parents[1]))
    home = copy.path.parents[1] / "runs"
    home.mkdir()
    run = Run(copy.path.rename(home / copy.id))
    lines, places = point_lines(run)
    alter(lines, places[2])
    run.events_path.write_bytes(b"".join(lines))
    assert main(["runs", "show", "last"]) == 0
    output, errors = capsys.readouterr()
    assert "damaged lines (1)" in errors
    assert "1 of 12 points are missing" in errors
    assert "runs resume" in output
    assert "damaged" in watch(run).doubt
    assert main(["runs", "resume", "last"]) == 0
    assert main(["runs", "resume", "last"]) == 2  # running, or finished now
    supervisor._children[-1].process.wait()
    assert run.read_points()[0].is_complete


@pytest.mark.parametrize("replace", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b""])
def test_a_damaged_network_is_trained_again(copy, finished, replace):
    path = copy.model_path(0)
    whole = path.read_bytes()
    path.write_bytes(replace(whole))
    assert work(copy) == "finished"
    assert path.read_bytes() == whole
    assert copy.points() == finished.points()


# -- earlier versions --------------------------------------------------------------------------------------------


def test_a_run_of_an_earlier_version_opens_and_resumes_to_the_same_numbers(data_folder: Path, tmp_path, capsys):
    """It was stopped within its second seed."""
    run = Run(shutil.copytree(data_folder / "earlier" / "run", tmp_path / "20250101-000000-digits-0000"))
    known, n_points = run.points(), run.spec.n_points
    assert 0 < len(known) < n_points
    assert "without checksums" in watch(run).doubt
    assert work(run) == run.state == "finished"
    assert [row for row in run.points() if row in known] == known
    again = RunStore(tmp_path / "again").create(run.spec)
    assert work(again) == "finished"
    for old, new in zip(run.points(), again.points(), strict=True):
        assert {name: old[name] for name in old if name not in ("accuracy", "loss")}.items() <= new.items()
        assert old["accuracy"] == pytest.approx(new["accuracy"], abs=0.01)  # another processor may have trained it


def test_lines_without_a_checksum_are_trusted_only_before_those_that_have_one(copy):
    lines, places = point_lines(copy)
    bare = [line[: line.index(b', "crc32"')] + b"}\n" for line in lines]
    copy.events_path.write_bytes(b"".join([*bare[: places[3]], *lines[places[3] :]]))
    points, reader = copy.read_points()
    assert points.is_complete
    assert (reader.n_unverified, reader.n_damaged) == (places[3], 0)
    copy.events_path.write_bytes(b"".join([*lines[: places[3]], *bare[places[3] :]]))
    points, reader = copy.read_points()
    assert len(points.rows) == 3
    assert reader.n_damaged == len(lines) - places[3]
