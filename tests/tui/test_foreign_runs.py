"""Run folders that come from elsewhere: they execute nothing, name no path, and cannot stop the other runs."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
from prunelab.estimators.files import sealed_json
from prunelab.estimators.registry import ESTIMATORS
from prunelab.tui.app import PrunelabApp
from prunelab.tui.cli import main
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.compared_run import ComparedRun
from prunelab.tui.runs.export import export
from prunelab.tui.runs.listing import Listing
from prunelab.tui.runs.records import write_record
from prunelab.tui.runs.spec import RunSpec, check_name, parameters_of
from prunelab.tui.runs.store import Run, RunError, RunStore
from prunelab.tui.runs.view import watch
from prunelab.tui.widgets.run_details import describe

from .working import work

PARAMETERS_OF_SPEC = {"hidden_layer_sizes": (8,), "max_iter": 1, "device": "cpu"}
SPEC = RunSpec(parameters=PARAMETERS_OF_SPEC, sparsities=(0.0, 0.5))


def set_in_file(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file and correct its checksum, as an attacker would."""
    record = json.loads(path.read_bytes())
    record.pop("crc32")
    change(record)
    path.write_bytes(sealed_json(record))


# -- nothing is executed, no path is followed --------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (os.environ["BOMB"],))


def test_a_cache_that_a_run_names_is_not_read(store, tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "executed"))
    cache = tmp_path / "cache"
    assert work(store.create(SPEC), memory=str(cache)) == "finished"
    results = list(cache.rglob("*"))
    assert results
    for file in results:
        if file.is_file():
            joblib.dump(Bomb(), file)
    run = store.create(SPEC)
    set_in_file(run.path / "run.json", lambda record: record["spec"]["parameters"].update(memory=str(cache)))
    run = Run(run.path)
    assert "memory" not in run.spec.parameters
    assert work(run) == "finished"
    assert not (tmp_path / "executed").exists()


def test_a_file_can_set_no_parameter_that_is_not_on_the_list(store):
    assert not any("memory" in parameters_of(estimator) for estimator in ESTIMATORS)
    run = store.create(SPEC)
    set_in_file(run.path / "run.json", lambda record: record["spec"]["parameters"].update(verbose=1))
    with pytest.raises(RunError, match="verbose"):
        _ = Run(run.path).spec


@pytest.mark.parametrize("name", ["events.jsonl", "lock", "log.txt", "stop", "status.json", "name"])
def test_resuming_writes_through_no_link(store, tmp_path, name):
    run = store.create(SPEC)
    target = tmp_path / "precious"
    target.write_text("precious")
    (run.path / name).symlink_to(target)
    with contextlib.suppress(RunError):
        supervisor.spawn(run).process.wait()
    assert target.read_text() == "precious"


def test_networks_and_checkpoints_replace_links(store, tmp_path):
    run = store.create(SPEC)
    target = tmp_path / "precious"
    target.write_text("precious")
    for path in (run.model_path(0), run.checkpoint_path(0)):
        path.symlink_to(target)
    assert run.models() == []
    with pytest.raises(RunError, match="no network"):
        export(run, "model", tmp_path)
    assert work(run) == "finished"
    assert target.read_text() == "precious"
    assert not run.model_path(0).is_symlink()


def test_a_dangling_stop_link_creates_no_file(store, tmp_path):
    run = store.create(SPEC)
    run.stop_path.symlink_to(tmp_path / "created")
    lock = run.lock()
    try:
        assert not supervisor.stop(run)  # it counts as asked
    finally:
        os.close(lock)
    assert not (tmp_path / "created").exists()


# -- deleting ----------------------------------------------------------------------------------------------------


def test_deleting_a_linked_run_removes_the_link(store, tmp_path):
    elsewhere = RunStore(tmp_path / "elsewhere").create(SPEC)
    store.create(SPEC)
    link = store.folder / elsewhere.id
    link.symlink_to(elsewhere.path, target_is_directory=True)
    store.find(elsewhere.id).delete()
    assert not link.is_symlink()
    assert elsewhere.spec == SPEC


def test_a_run_that_cannot_be_deleted_stays_listed(store, monkeypatch):
    run = store.create(SPEC)

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(RunError, match="cannot delete"):
        run.delete()
    assert [one.id for one in store.runs()] == [run.id]
    monkeypatch.undo()
    assert run.path.is_dir()


# -- names and permissions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\x1b[31mred", "x" * 201, "bell\a", "\u202eright to left"])
def test_one_rule_for_names(store, name, capsys):
    run = store.create(SPEC)
    with pytest.raises(RunError, match="printable"):
        run.rename(name)
    assert main(["runs", "rename", run.id, name]) == 2
    assert main(["sweep", "--name", name]) == 2
    errors = capsys.readouterr().err
    assert errors.count("printable") == errors.count("\n") == 2
    assert len(store.runs()) == 1


def test_names_have_single_spaces():
    assert check_name("  two \t words\n") == "two words"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_everything_is_private_whatever_the_umask(tmp_path, monkeypatch, umask):
    home = tmp_path / "deep" / "home"
    monkeypatch.setenv("PRUNELAB_HOME", str(home))
    before = os.umask(umask)
    try:
        run = RunStore().create(SPEC)
        run.rename("mine")
        assert work(run) == "finished"
        lock = run.lock()
        supervisor.stop(run)
        os.close(lock)
    finally:
        os.umask(before)
    for folder in (home, home / "runs", run.path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for file in run.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


# -- files of wrong kinds ----------------------------------------------------------------------------------------

NAMES = ("run.json", "status.json", "name", "events.jsonl", "lock")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_socket(path: Path) -> None:
    one = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        one.bind(path.name)
    finally:
        os.chdir(here)
        one.close()


def make_huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)


def make_garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(5000))


def make_empty(path: Path) -> None:
    path.touch()


KINDS = [make_fifo, make_folder, make_link, make_loop, make_socket, make_huge, make_garbage, make_empty]


def look_everywhere(run: Run) -> None:
    """Everything that a user can ask about a run answers, or refuses with a sentence."""
    for look in (
        lambda: main(["runs", "show", run.id]),
        lambda: watch(Run(run.path)),
        lambda: Run(run.path).points(),
        lambda: ComparedRun(Run(run.path)).poll(),
        lambda: Run(run.path).size(),
    ):
        with contextlib.suppress(RunError):
            look()
    listing = Listing(RunStore())
    listing.refresh()
    assert all(describe(entry) for entry in listing.entries.values())


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_wrong_kind_is_reported_and_stops_nothing(make_run, capsys, name, make):
    bad, good = make_run(name="bad"), make_run(name="good")
    path = bad.path / name
    path.unlink(missing_ok=True)
    make(path)
    is_harmless = (make in (make_empty, make_garbage, make_huge) and name == "lock") or (
        make is make_empty and name in ("name", "events.jsonl")
    )
    assert main(["runs"]) == 0
    output, errors = capsys.readouterr()
    assert "good" in output
    is_listed_as_unreadable = f"{bad.id}: " in errors
    if not is_harmless and not (name == "events.jsonl" and make in (make_huge, make_garbage)):
        assert is_listed_as_unreadable
        assert "unreadable" in output
    look_everywhere(bad)
    assert watch(good).state == "finished"
    if make is not make_loop:
        bad.delete()
        assert [run.id for run in RunStore().runs()] == [good.id]


# -- values of wrong types ---------------------------------------------------------------------------------------

DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]

ODD = [None, True, -1, 0, 10**30, 1.5, 1e308, -1e308, "", "x" * 100_000, "\x1b[2J", "\ud800", [], {}, [[]], {"": {}}]
ODD += [DEEP]


def mutate(value: Any, chance: random.Random) -> Any:
    """A copy of a JSON value with one part of it replaced, removed or doubled."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
            places.append((part, key))
            walk(part[key])

    walk(value)
    if not places:
        return chance.choice(ODD)
    part, key = chance.choice(places)
    match chance.randrange(4):
        case 0:
            del part[key]
        case 1 if isinstance(part, dict):
            part[chance.choice(list(part))] = part[key]
        case _:
            part[key] = chance.choice(ODD)
    return value


def mutate_file(path: Path, chance: random.Random) -> None:
    """Replace a file of JSON lines by a mutation, with right checksums."""
    lines = path.read_bytes().splitlines()
    at = chance.randrange(len(lines))
    record = json.loads(lines[at])
    record.pop("crc32", None)
    record = mutate(record, chance)
    text = json.dumps(record)
    if chance.random() < 0.05:
        text = text.replace("0", "NaN", 1)
    if chance.random() < 0.05:
        text = "[" * 100_000 + text
    is_object = isinstance(record, dict) and record and not text.startswith("[")
    lines[at] = sealed_json(record) if is_object and "NaN" not in text else text.encode()
    path.write_bytes(b"\n".join(lines) + b"\n" * (path.suffix == ".jsonl"))


@pytest.mark.parametrize(
    "n_mutations", [60, pytest.param(800, marks=pytest.mark.slow), pytest.param(3000, marks=pytest.mark.exhaustive)]
)
def test_mutated_files_stop_nothing(make_run, capsys, n_mutations):
    bad, good = make_run(name="bad", trained=True), make_run(name="good")
    originals = {name: (bad.path / name).read_bytes() for name in ("run.json", "status.json", "events.jsonl")}
    chance = random.Random(n_mutations)
    for _ in range(n_mutations):
        name = chance.choice(list(originals))
        mutate_file(bad.path / name, chance)
        assert main(["runs"]) == 0
        assert good.name in capsys.readouterr().out
        assert main(["runs", "--json"]) == 0
        json.loads(capsys.readouterr().out)
        look_everywhere(bad)
        (bad.path / name).write_bytes(originals[name])


def in_app(act: Callable[[Any], Any]) -> None:
    async def run() -> None:
        app = PrunelabApp()
        async with app.run_test(size=(120, 40)) as pilot:
            await act(pilot)

    asyncio.run(run())


@pytest.mark.parametrize(
    "n_runs", [8, pytest.param(50, marks=pytest.mark.slow), pytest.param(150, marks=pytest.mark.exhaustive)]
)
def test_the_app_shows_bad_runs_and_goes_on(make_run, n_runs):
    """Each bad run is under the cursor once, and opened once."""
    chance = random.Random(n_runs)
    good = make_run(name="good", trained=True)
    for number in range(n_runs):
        run = make_run(name=f"bad {number}", trained=True, age=number + 1)
        if number < len(KINDS):
            path = run.path / NAMES[number % 4]
            path.unlink()
            KINDS[number](path)
        else:
            mutate_file(run.path / chance.choice(["run.json", "status.json", "events.jsonl"]), chance)

    async def act(pilot: Any) -> None:
        app = pilot.app
        for _ in range(n_runs + 1):
            await pilot.press("f4")
            await pilot.press("down")
            await pilot.pause()
            await pilot.press("enter")
            await pilot.pause()
        await app.show_run(good)
        await pilot.pause()
        assert app.is_running

    in_app(act)


@pytest.mark.parametrize("make", KINDS)
def test_settings_of_the_wrong_kind_do_not_stop_the_app(make_run, tmp_path, make):
    make_run()
    path = tmp_path / "home" / "settings.json"
    make(path)

    async def act(pilot: Any) -> None:
        await pilot.pause()
        assert pilot.app.is_running

    in_app(act)


def test_settings_with_a_theme_of_the_wrong_type_are_ignored(make_run, tmp_path):
    make_run()
    write_record(tmp_path / "home" / "settings.json", {"theme": ["nord"]})

    async def act(pilot: Any) -> None:
        await pilot.pause()
        assert pilot.app.theme == "textual-dark"

    in_app(act)
