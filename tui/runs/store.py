"""Run directories: making, finding, reading and deleting them.

``run.json`` is what to run and, once they are loaded, what its data are; ``status.json`` is a summary of how it stands;
``events.jsonl`` is what happened, only ever appended to (the others are replaced as a whole); ``name`` is what the user
calls it; ``lock`` is locked for as long as a worker lives.

A folder may come from elsewhere, so nothing in it is trusted: no file is read through a symbolic link or without a
limit, and none names another file to read or write but the data set.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import socket
import stat
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.data.datasets import DatasetError, data_home
from ...estimators.files import TEMPORARY_SUFFIX, make_private_folder, open_regular, read_file, replace_file
from . import locks
from .events import EventReader, last_event
from .points import Points
from .records import RecordError, read_record, write_record
from .schemas import Record, Status
from .spec import MAX_NAME_LENGTH, RunSpec, SpecError, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: How a run can stand. "unreadable" are those with a file that is damaged, or not of the kind it should be.
STATES = ("running", "finished", "stopped", "failed", "interrupted", "unreadable")

_ENDS = ("finished", "stopped", "failed")

#: Folders of runs whose deletion was interrupted.
_DELETED = ".deleted-"

#: No deletion takes longer.
_SECONDS_TO_DELETE = 3600.0


class RunError(Exception):
    """A run cannot be found, read or changed; the message says why."""


class RunStore:
    """All runs of a user: the folder `runs` in the data home.

    Parameters
    ----------
    folder : path-like, optional
        Another folder.

    Raises
    ------
    RunError
        If there is no data home.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        try:
            self.folder = Path(folder) if folder is not None else data_home() / "runs"
        except DatasetError as error:
            raise RunError(str(error)) from error
        self._created: dict[str, float] = {}

    def create(self, spec: RunSpec) -> Run:
        """Make the directory of a new run.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        label = "".join(c for c in Path(spec.dataset).stem if c.isascii() and (c.isalnum() or c == "-"))[:20] or "data"
        try:
            make_private_folder(self.folder)
            self._remove_deleted()
            now = time.time()
            while True:
                when = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
                path = self.folder / f"{when}-{label}-{secrets.token_hex(2)}"
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    path.chmod(0o700)
                    break
            try:
                write_record(path / "run.json", {"created": now, "spec": spec.to_json()}, sync=True)
            except OSError:
                shutil.rmtree(path, ignore_errors=True)
                raise
        except OSError as error:
            raise RunError(
                f"cannot keep a run in {self.folder} ({error.strerror or error}): set PRUNELAB_HOME to a folder "
                "that you can write to"
            ) from error
        return Run(path)

    def _remove_deleted(self) -> None:
        """Finish deletions that were interrupted."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                if entry.name.startswith(_DELETED) and time.time() - entry.stat().st_mtime > _SECONDS_TO_DELETE:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def runs(self) -> list[Run]:
        """All runs, in the order of their creation, the newest first; then those whose creation is not known."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if entry.is_dir() and entry.name[0] not in "._"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"cannot list the runs in {self.folder}: {error.strerror or error}") from error
        self._created = {name: self._created.get(name) or Run(self.folder / name).created for name in names}
        return [Run(self.folder / name) for name in sorted(names, key=lambda n: (self._created[n], n), reverse=True)]

    def find(self, text: str) -> Run:
        """The run with this id, name, or beginning of an id; "last" is the newest.

        Raises
        ------
        RunError
            If there is none, or more than one.
        """
        runs = self.runs()
        if text == "last" and runs:
            return runs[0]
        runs = runs if text else []
        exact = [run for run in runs if text in (run.id, run.name)]
        found = exact or [run for run in runs if run.id.startswith(text) or run.id.endswith(f"-{text}")]
        if len(found) == 1:
            return found[0]
        if found:
            raise RunError(f"{text!r} names {len(found)} runs: {', '.join(run.id for run in found[:5])}")
        raise RunError(f"there is no run {text!r}; prunelab runs lists them")


class Run:
    """One run directory. Reading it never fails because it is being written."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    @property
    def id(self) -> str:
        """The name of the directory."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        """The log of what happened; see `prunelab.tui.runs.events`."""
        return self.path / "events.jsonl"

    @property
    def status_path(self) -> Path:
        """The summary of how it stands."""
        return self.path / "status.json"

    @property
    def log_path(self) -> Path:
        """What the worker process printed."""
        return self.path / "log.txt"

    @property
    def lock_path(self) -> Path:
        """The file that is locked while a worker lives, with the worker's host and process number."""
        return self.path / "lock"

    @property
    def stop_path(self) -> Path:
        """A file by this name asks the worker to stop."""
        return self.path / "stop"

    # -- what to run -----------------------------------------------------------------------------------------

    @cached_property
    def _record(self) -> dict[str, Any]:
        try:
            return read_record(self.path / "run.json", Record)
        except (RecordError, FileNotFoundError) as error:
            reason = "it has no run.json" if isinstance(error, FileNotFoundError) else str(error)
            raise RunError(f"{self.path} is not a run that can be read: {reason}") from error

    @cached_property
    def spec(self) -> RunSpec:
        """What to run; RunError if it cannot be read."""
        try:
            return RunSpec.from_json(self._record["spec"])
        except SpecError as error:
            raise RunError(f"{self.path} is not a run that can be read: {error}") from error

    @property
    def data(self) -> dict[str, Any] | None:
        """What its data were when they were first loaded: ``content`` and ``assumptions`` of `load_dataset`.

        None before that, and in runs of earlier versions. RunError if it cannot be read.
        """
        try:
            return read_record(self.path / "run.json", Record).get("data")
        except (RecordError, FileNotFoundError) as error:
            raise RunError(f"{self.path} is not a run that can be read: {error}") from error

    def keep_data(self, content: str | None, assumptions: Sequence[str]) -> None:
        """Record what its data are."""
        record = {**self._record, "data": {"content": content, "assumptions": list(assumptions)}}
        write_record(self.path / "run.json", record, sync=True)

    def check_content(self, content: str | None) -> None:
        """Refuse data that are not those the run began with.

        Raises
        ------
        RunError
            If the content of a file has changed.
        """
        if (data := self.data) is not None and data["content"] != content:
            raise RunError(
                f"{self.spec.dataset} has changed since {self.id} began: put the file back, or start a new run with it"
            )

    @property
    def created(self) -> float:
        """When it was made, in seconds since 1970 (UTC); 0 if that cannot be read."""
        try:
            return self._record["created"]
        except RunError:
            return 0.0

    @property
    def name(self) -> str:
        """What the user calls it; empty if nothing."""
        with contextlib.suppress(RunError):
            return self.read_name()
        return ""

    def read_name(self) -> str:
        """What the user calls it; RunError if the file with the name cannot be read."""
        try:
            text = read_file(self.path / "name", 4 * MAX_NAME_LENGTH, follow_links=False).decode()
        except FileNotFoundError:
            with contextlib.suppress(RunError):
                return self.spec.name[:MAX_NAME_LENGTH]
            return ""
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / 'name'} cannot be read: {error}") from error
        return text.strip()[:MAX_NAME_LENGTH]

    def rename(self, name: str) -> None:
        """Call it something else; RunError if it cannot be called so."""
        try:
            name = check_name(name)
        except SpecError as error:
            raise RunError(f"cannot rename {self.id}: {error}") from error
        for is_last in (False, True):
            try:
                replace_file(self.path / "name", name.encode())
                return
            except OSError as error:
                # A worker that starts at this moment removes temporary files.
                if is_last or not isinstance(error, FileNotFoundError):
                    raise RunError(f"cannot rename {self.id}: {error.strerror or error}") from error

    # -- how it stands ---------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What ``status.json`` says, with the ``state`` as it is: one of `STATES`.

        A run whose process is gone is what its log says that it came to, else "interrupted". A running one has a
        ``reason`` if its process does not respond. An unreadable one has a ``reason``.
        """
        # The lock first: a worker that ends between the two reads has written its last word before it releases it.
        alive = self.is_alive()
        try:
            status = read_record(self.status_path, Status)
        except FileNotFoundError:
            status = {}
        except RecordError as error:
            status = {} if alive else {"state": "unreadable", "reason": str(error)}
        if alive:
            status |= {"state": "running", "reason": self._silence()}
        elif status.get("state") in (None, "running"):
            last = last_event(self.events_path) or {}
            status["state"] = last["type"] if last.get("type") in _ENDS else "interrupted"
            status["reason"] = last.get("reason", "")
        return status

    @property
    def state(self) -> str:
        """One of `STATES`."""
        return self.status()["state"]

    def problem(self, status: Mapping[str, Any]) -> str:
        """Why the run, with this status, cannot be read, as far as a quick look shows; empty if it can."""
        try:
            _ = self.spec
            self.read_name()
        except RunError as error:
            return str(error)
        if status["state"] == "unreadable":
            return status["reason"]
        for path in (self.events_path, self.lock_path):
            with contextlib.suppress(OSError):
                if not stat.S_ISREG(os.lstat(path).st_mode):
                    return f"{path.name} is not a regular file"
        return ""

    def is_alive(self) -> bool:
        """Whether a process computes it."""
        try:
            descriptor = open_regular(self.lock_path, follow_links=False)
        except OSError:
            return False
        try:
            is_held = locks.is_held(descriptor)
            return self._seems_alive() if is_held is None else is_held
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _seems_alive(self) -> bool:
        """The same where there are no locks: by the worker's sign of life, and its process if that is on this host."""
        holder = self._read_lock()
        if holder is None or locks.seconds_since_beat(self.lock_path) > locks.LOST_AFTER:
            return False
        host, number = holder
        return host != socket.gethostname() or locks.process_exists(number)

    def _silence(self) -> str:
        """A sentence about a worker on this host that has given no sign of life for a while; else empty."""
        holder = self._read_lock()
        if holder is None or holder[0] != socket.gethostname():
            return ""  # the clocks of two hosts may differ
        silent = locks.seconds_since_beat(self.lock_path)
        if silent < locks.SILENT_AFTER:
            return ""
        return f"process {holder[1]} has not responded for {silent:.0f} s: it may be suspended"

    def lock(self) -> int:
        """Take the lock for as long as the returned descriptor stays open, in this process or one that inherits it.

        Where the file system has no locks, the run counts as running while `sign_lock` and the worker's heartbeat
        say so.

        Raises
        ------
        RunError
            If a process holds it.
        OSError
            If it cannot be taken.
        """
        descriptor = open_regular(self.lock_path, os.O_RDWR | os.O_CREAT, follow_links=False)
        try:
            for attempt in range(20):
                try:
                    if not locks.acquire(descriptor) and self._seems_alive():
                        break
                    with contextlib.suppress(OSError):
                        locks.beat(descriptor, self.lock_path)
                    return descriptor
                except BlockingIOError:  # perhaps a reader that only looks
                    if attempt < 19:
                        time.sleep(0.05)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        raise RunError(f"{self.id} is running already")

    def holder(self) -> tuple[str, int] | None:
        """Host and process number of the worker, if it lives."""
        return self._read_lock() if self.is_alive() else None

    def _read_lock(self) -> tuple[str, int] | None:
        with contextlib.suppress(OSError, ValueError):
            host, number = read_file(self.lock_path, 1000, follow_links=False).decode("ascii").split()
            if int(number) > 0:
                return host, int(number)
        return None

    def sign_lock(self, descriptor: int, process: int | None = None) -> None:
        """Write into the lock which process holds it; this one by default."""
        os.ftruncate(descriptor, 0)
        holder = f"{socket.gethostname()} {os.getpid() if process is None else process}\n"
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, holder.encode("ascii", "replace"))

    # -- what came out ---------------------------------------------------------------------------------------

    def points(self) -> list[dict[str, Any]]:
        """The rows of the points that are finished, each once, in the order in which they are computed.

        Raises
        ------
        RunError
            If the run or its log cannot be read.
        """
        return self.read_points()[0].rows

    def read_points(self) -> tuple[Points, EventReader]:
        """The points that are finished, and the reader, which knows how many lines are damaged or unverified."""
        points, reader = Points(self.spec), EventReader(self.events_path, only="point")
        try:
            for event in reader.read():
                points.insert(event["row"])
        except OSError as error:
            raise RunError(f"{self.events_path} cannot be read: {error.strerror or error}") from error
        return points, reader

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything that happened so far."""
        return iter(EventReader(self.events_path).read())

    def model_path(self, seed: int) -> Path:
        """The dense network of a seed, a model file; it exists once the training is done."""
        return self.path / f"dense-seed{seed}.safetensors"

    def checkpoint_path(self, seed: int) -> Path:
        """Where the training of a seed is kept until the seed is finished."""
        return self.path / f"checkpoint-seed{seed}.safetensors"

    def models(self) -> list[int]:
        """Seeds whose dense network is there."""
        with contextlib.suppress(RunError):
            return [seed for seed in self.spec.seeds if is_regular(self.model_path(seed))]
        return []

    def size(self) -> int:
        """Bytes on the disk."""
        with contextlib.suppress(OSError):
            return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(self.path))
        return 0

    def remove_leftovers(self) -> None:
        """Remove temporary files of workers that were killed; to be called by the process that has the lock."""
        names = ("run.json", "status.json", "name", "checkpoint-seed", "dense-seed")
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.path):
                # Those of earlier versions have the name of their file in front, and a random ending.
                is_temporary = entry.name.endswith(TEMPORARY_SUFFIX) or entry.name[1:].startswith(names)
                if entry.name[0] == "." and is_temporary and not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)

    def delete(self) -> None:
        """Remove the directory, or the link if it is one.

        Raises
        ------
        RunError
            If the run is running, or cannot be deleted; then it is still listed.
        """
        if self.is_alive():
            raise RunError(f"{self.id} is running: stop it before you delete it")
        hidden = self.path.with_name(f"{_DELETED}{self.id}")  # off the list at once
        try:
            if self.path.is_symlink():
                self.path.unlink()
                return
            os.rename(self.path, hidden)
            try:
                shutil.rmtree(hidden)
            except OSError:
                os.rename(hidden, self.path)
                raise
        except OSError as error:
            raise RunError(f"cannot delete {self.id}: {error.strerror or error}") from error


def is_regular(path: Path) -> bool:
    """Whether there is a regular file, not a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Run.points` with NaN and inf where JSON has none."""
    special = {None: math.nan, "inf": math.inf, "-inf": -math.inf}
    return {
        name: special.get(value, value) if value is None or (isinstance(value, str) and name != "norm") else value
        for name, value in row.items()
    }
