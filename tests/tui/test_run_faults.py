"""Disks that fail, processes that hang, machines without locks: nothing finished is lost, and the reason is given."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prunelab.tui.cli import main
from prunelab.tui.runs import locks, supervisor
from prunelab.tui.runs.listing import Listing
from prunelab.tui.runs.records import write_record
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunError, RunStore
from prunelab.tui.runs.view import watch
from prunelab.tui.runs.worker import Worker

PARAMETERS = {"hidden_layer_sizes": (8,), "max_iter": 2, "device": "cpu"}
SPEC = RunSpec(parameters=PARAMETERS, sparsities=(0.0, 0.5, 0.9))
LONG = RunSpec(parameters={**PARAMETERS, "max_iter": 100_000, "n_iter_no_change": 100_000}, sparsities=(0.0, 0.5))
ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "quota",
    errno.EIO: "input/output error",
    errno.EROFS: "read-only",
}


def work(run: Run, **settings: Any) -> Worker:
    worker = Worker(run, **settings)
    worker.state = worker.work()  # type: ignore[attr-defined]
    worker.close()
    return worker


def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# -- disks -------------------------------------------------------------------------------------------------------

#: What a run writes its files with.
CALLS = ("open", "write", "fsync", "replace", "ftruncate", "unlink")


class Disk:
    """Fails from a certain call on, once or for ever, in calls that concern the files of runs.

    Attributes
    ----------
    n_calls : int
        How many there were.
    """

    def __init__(self, folder: Path, number: int, fails_first: int, lasts: bool):
        self.n_calls = 0
        self._folder, self._number, self._first, self._lasts = os.fspath(folder), number, fails_first, lasts

    def call(self, real: Any, *arguments: Any, **settings: Any) -> Any:
        place = arguments[0] if not isinstance(arguments[0], int) else os.readlink(f"/proc/self/fd/{arguments[0]}")
        reads = real is REAL["open"] and not arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not os.fspath(place).startswith(self._folder) or reads:
            return real(*arguments, **settings)
        self.n_calls += 1
        if self.n_calls == self._first or (self._lasts and self.n_calls > self._first):
            raise OSError(self._number, os.strerror(self._number), place)
        return real(*arguments, **settings)


REAL = {name: getattr(os, name) for name in CALLS}


@contextlib.contextmanager
def failing(folder: Path, number: int, fails_first: int, lasts: bool) -> Iterator[Disk]:
    """Let calls fail; files that are written through Python's own buffers, too."""
    disk = Disk(folder, number, fails_first, lasts)
    with pytest.MonkeyPatch.context() as patch:
        for name, real in REAL.items():
            patch.setattr(os, name, lambda *a, _real=real, **k: disk.call(_real, *a, **k))
        yield disk


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> tuple[list[dict[str, Any]], int]:
    """The points of a run on a disk without faults, and how many calls it takes."""
    store = RunStore(tmp_path_factory.mktemp("whole") / "runs")
    with failing(store.folder, 0, 0, lasts=False) as disk:
        run = store.create(SPEC)
        work(run)
    return run.points(), disk.n_calls


def check_fault(store: RunStore, expected: list[dict[str, Any]], number: int, first: int, lasts: bool) -> None:
    """A fault loses no finished point; a lasting one has a reason; and the run can be finished afterwards."""
    taken: list[dict[str, Any]] = []
    run = worker = None
    with failing(store.folder, number, first, lasts), contextlib.suppress(RunError, OSError):
        run = store.create(SPEC)
        worker = work(run, on_point=lambda point: taken.append(point.row))
    if run is None:  # not even made
        assert store.runs() == []
        return
    points = run.points()
    assert len(taken) <= len(points) <= len(expected)
    assert all(point in expected for point in points)
    if worker is not None and worker.state == "failed":
        assert ERRORS[number] in worker.reason
        state, status = run.state, run.status()
        assert state in ("failed", "interrupted")
        assert state == "interrupted" or ERRORS[number] in status["reason"]
    elif worker is not None:
        assert (worker.state, run.state, points) == ("finished", "finished", expected)
    assert work(run).state == run.state == "finished"
    assert run.points() == expected
    assert not [path.name for path in run.path.iterdir() if path.suffix == ".tmp" or "checkpoint" in path.name]


@pytest.mark.parametrize("lasts", [False, True])
@pytest.mark.parametrize("number", ERRORS)
def test_no_fault_of_the_disk_loses_a_point(store, expected, number, lasts):
    rows, n_calls = expected
    for first in range(1 + number % 7, n_calls + 2, 13):
        check_fault(store, rows, number, first, lasts)
        for run in store.runs():
            run.delete()


@pytest.mark.slow
@pytest.mark.parametrize("lasts", [False, True])
@pytest.mark.parametrize("number", ERRORS)
def test_no_fault_at_any_call_loses_a_point(store, expected, number, lasts):
    rows, n_calls = expected
    for first in range(1, n_calls + 2):
        check_fault(store, rows, number, first, lasts)
        for run in store.runs():
            run.delete()


@pytest.mark.parametrize("number", ERRORS)
def test_a_lasting_fault_is_said_on_standard_error_and_by_the_status(store, expected, number, capsys):
    arguments = ["sweep", "--layers", "8", "--epochs", "2", "--sparsities", "0,0.5,0.9", "--device", "cpu"]
    with failing(store.folder, number, expected[1] * 2 // 3, lasts=True):
        assert main(arguments) == 1
    errors = capsys.readouterr().err
    assert ERRORS[number] in errors
    assert "points are finished" in errors


def test_a_full_disk_leaves_room_for_the_reason(store, monkeypatch):
    """The last word replaces the summary in the file that is there: that needs no new block."""
    run = store.create(SPEC)

    def full(*arguments: Any, **settings: Any) -> int:
        if isinstance(arguments[0], int) and os.readlink(f"/proc/self/fd/{arguments[0]}").endswith("/status.json"):
            return REAL["write"](*arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(point: Any) -> None:
        monkeypatch.setattr(os, "write", full)
        monkeypatch.setattr("prunelab.tui.runs.records.replace_file", full)

    assert work(run, on_point=fill).state == "failed"
    monkeypatch.undo()
    assert run.state == "failed"
    assert "disk is full" in run.status()["reason"]
    assert "disk is full" in watch(run).reason
    assert len(run.points()) == 1


def test_a_summary_that_cannot_be_written_does_not_fail_the_run(store, monkeypatch):
    run = store.create(SPEC)

    def refuse(*arguments: Any, **settings: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("prunelab.tui.runs.worker.write_record", refuse)
    assert work(run).state == "finished"
    assert run.state == "finished"  # according to the log
    assert any("status.json cannot be written" in text for _, text in watch(run).view.log)


def test_resuming_on_a_failing_disk_exits_1_with_the_reason(store, monkeypatch, capsys):
    run = store.create(SPEC)

    def refuse(self: Run) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Run, "lock", refuse)
    assert main(["runs", "resume", run.id]) == 1
    assert "Read-only file system" in capsys.readouterr().err


def test_a_worker_that_fails_at_once_is_reported_by_the_command_that_started_it(store, tmp_path, capsys):
    run = store.create(RunSpec(dataset=str(tmp_path / "gone.csv"), parameters=PARAMETERS))
    assert main(["runs", "resume", run.id]) == 1
    assert "gone.csv" in capsys.readouterr().err
    assert run.state == "failed"
    assert "gone.csv" in supervisor.reason_of(run)


# -- leftovers ---------------------------------------------------------------------------------------------------


def test_leftovers_of_killed_workers_are_removed(store):
    run = store.create(SPEC)
    leftovers = [run.path / name for name in (".0123456789abcdef.tmp", ".status.json.x1y2", ".checkpoint-seed0.sa.z")]
    for path in [*leftovers, run.checkpoint_path(0)]:
        path.touch()
    hidden = run.path / ".hidden"
    hidden.touch()
    assert work(run).state == "finished"
    assert not any(path.exists() for path in leftovers)
    assert not run.checkpoint_path(0).exists()
    assert hidden.exists()  # not ours


def test_an_interrupted_deletion_is_finished_later(store):
    store.create(SPEC)
    left = store.folder / ".deleted-20250101-000000-digits-0000"
    left.mkdir()
    (left / "events.jsonl").touch()
    os.utime(left, (0, 0))
    store.create(SPEC)
    assert not left.exists()


# -- order -------------------------------------------------------------------------------------------------------


def test_last_is_the_newest_whatever_the_time_zone(store, monkeypatch):
    """Also in the hour that comes twice, and within one second."""
    runs = []
    for zone, now in (
        ("Pacific/Kiritimati", 1_761_440_000.0),
        ("Pacific/Midway", 1_761_440_001.0),
        ("Europe/Berlin", 1_761_440_400.1),
        ("Europe/Berlin", 1_761_440_400.2),
        ("Europe/Berlin", 1_761_444_000.0),  # the clock was put back
    ):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        monkeypatch.setattr("time.time", lambda now=now: now)
        runs.append(store.create(SPEC))
    monkeypatch.undo()
    time.tzset()
    newest_first = [run.id for run in reversed(runs)]
    assert [run.id for run in RunStore(store.folder).runs()] == newest_first
    assert RunStore(store.folder).find("last").id == newest_first[0]
    listing = Listing(RunStore(store.folder))
    listing.refresh()
    assert list(listing.entries) == newest_first


def test_a_folder_with_a_later_name_is_not_newer(store):
    """Runs of earlier versions have their local time in their names."""
    old, new = store.create(SPEC), store.create(SPEC)
    old = Run(old.path.rename(store.folder / "29991231-235959-digits-0000"))
    assert RunStore(store.folder).find("last").id == new.id
    write_record(old.path / "run.json", {"created": time.time() + 1, "spec": SPEC.to_json()})
    assert RunStore(store.folder).find("last").id == old.id


# -- processes ---------------------------------------------------------------------------------------------------


def test_a_silent_worker_is_shown_as_not_responding(store, capsys):
    run = store.create(SPEC)
    lock = run.lock()
    run.sign_lock(lock)
    assert not run.status()["reason"]
    os.utime(lock, (0, time.time() - 2 * locks.SILENT_AFTER))
    assert "not responded" in run.status()["reason"]
    assert watch(run).state == "running"
    assert main(["runs"]) == 0
    output, errors = capsys.readouterr()
    assert "not responding" in output
    assert "may be suspended" in errors
    os.close(lock)
    assert run.state == "interrupted"


@pytest.mark.slow
def test_a_suspended_worker_is_shown_until_it_goes_on(store, monkeypatch):
    monkeypatch.setattr(locks, "SILENT_AFTER", 3 * locks.SECONDS_BETWEEN_BEATS)
    run = supervisor.start(store, LONG)
    supervisor.wait_until_ready(run)
    number = run.holder()[1]
    os.kill(number, signal.SIGSTOP)
    until(lambda: run.status()["reason"])
    os.kill(number, signal.SIGCONT)
    until(lambda: not run.status()["reason"])
    supervisor.kill(run)
    until(lambda: not run.is_alive())


def without_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_enough(store, monkeypatch, number):
    without_locks(monkeypatch, number)
    run = store.create(SPEC)
    assert not run.is_alive()
    seen = []

    def look(point: Any) -> None:
        seen.append(run.state)
        with pytest.raises(RunError, match="already running"):
            run.lock()

    with pytest.warns(UserWarning, match="no locks"):
        assert work(run, on_point=look).state == "finished"
    assert set(seen) == {"running"}
    assert run.state == "finished"
    run.delete()


def test_without_locks_a_worker_that_is_gone_is_noticed(store, monkeypatch):
    without_locks(monkeypatch, errno.ENOSYS)
    run = store.create(SPEC)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    lock = run.lock()
    run.sign_lock(lock, child)
    assert not run.is_alive()
    run.sign_lock(lock, os.getpid())
    assert run.is_alive()
    os.utime(lock, (0, time.time() - 2 * locks.LOST_AFTER))
    assert not run.is_alive()
    os.close(lock)


def test_without_fcntl_runs_are_computed_in_the_foreground_only(store, monkeypatch, capsys):
    run = store.create(SPEC)
    assert work(run).state == "finished"
    other = store.create(SPEC)
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "HAS_WORKERS", False)
    assert main(["runs", "show", run.id]) == 0
    assert main(["runs", "resume", other.id]) == 2
    assert "need Linux, macOS or WSL" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="has no locks"):
        assert work(other).state == "finished"


@pytest.mark.parametrize("command", ["runs", "data"])
def test_what_needs_no_worker_works_on_a_platform_without_fcntl(store, command):
    store.create(SPEC)
    script = (
        f"import sys; sys.modules['fcntl'] = None; from prunelab.tui.cli import main; sys.exit(main(['{command}']))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (result.returncode, "digits" in result.stdout) == (0, True), result.stderr


def test_several_workers_on_one_run_compute_it_once(store):
    run = store.create(SPEC)
    child = supervisor.spawn(run)
    os.kill(child.process.pid, signal.SIGSTOP)  # or it may be done before the others have been refused
    for _ in range(3):
        with pytest.raises(RunError, match="already running"):
            Worker(Run(run.path))
    os.kill(child.process.pid, signal.SIGCONT)
    child.process.wait()
    lines = run.events_path.read_bytes().splitlines()
    assert sum(b'"type": "point"' in line for line in lines) == len(run.points()) == SPEC.n_points


# -- the user and the machine ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["runs"], ["data"], ["sweep", "--detach", "--epochs", "1"], ["attach", "last"]])
def test_no_home_directory_is_one_sentence(monkeypatch, capsys, command):
    def no_user(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    for name in ("HOME", "PRUNELAB_HOME", "PRUNELAB_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_user)
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    assert main(command) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    if command[0] != "attach":  # that needs a terminal first
        assert "PRUNELAB_HOME" in errors


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400", "9" * 400])
@pytest.mark.parametrize("option", ["--lr", "--alpha", "--tol", "--momentum", "--validation-fraction", "--sparsities"])
def test_numbers_that_are_not_finite_are_refused(store, option, value, capsys):
    try:
        status = main(["sweep", f"{option}={value}"])
    except SystemExit as refused:  # by the parser
        status = refused.code
    assert status == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert store.runs() == []


def test_an_experiment_of_endless_seeds_is_refused_at_once(store, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sweep", "--seeds", "9" * 15])
    assert caught.value.code == 2
    assert "at most" in capsys.readouterr().err
    assert store.runs() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--lr", "1e30", "--solver", "sgd"], "diverged"), (["--layers", "9" * 9], "out of memory")],
)
def test_what_fails_while_computing_exits_1(store, arguments, message, capsys):
    common = ["sweep", "--epochs", "1", "--sparsities", "0.5", "--device", "cpu"]
    if message == "diverged":
        common += ["--layers", "8"]
    assert main([*common, *arguments]) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
