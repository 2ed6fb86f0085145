"""Run directories: create, find, read and delete them.

``run.json`` holds the settings and, once they are loaded, the properties of the data; ``status.json`` is a summary of
the current state; ``events.jsonl`` is a log that is only appended to (the others are replaced completely); ``name``
holds the user's name for the run; ``lock`` is locked while a worker is alive.

A folder may come from another machine, so its content is not trusted: no file is read through a symbolic link or
without a size limit, and no file names another one to read or write, except for the data set.
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

#: The states of a run. A run is "unreadable" if one of its files is damaged or not a regular file.
STATES = ("running", "finished", "stopped", "failed", "interrupted", "unreadable")

_ENDS = ("finished", "stopped", "failed")

#: Prefix of runs whose deletion was interrupted.
_DELETED = ".deleted-"

#: Maximum duration of a deletion in seconds.
_SECONDS_TO_DELETE = 3600.0


class RunError(Exception):
    """A run cannot be found, read or changed; the message names the reason."""


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
        """Create the directory of a new run.

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
                f"cannot create a run in {self.folder} ({error.strerror or error}): set PRUNELAB_HOME to a folder "
                "that you can write to"
            ) from error
        return Run(path)

    def _remove_deleted(self) -> None:
        """Complete interrupted deletions."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                if entry.name.startswith(_DELETED) and time.time() - entry.stat().st_mtime > _SECONDS_TO_DELETE:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def runs(self) -> list[Run]:
        """All runs, the most recently created first; runs with an unknown time of creation are last."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if entry.is_dir() and entry.name[0] not in "._"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"cannot list the runs in {self.folder}: {error.strerror or error}") from error
        self._created = {name: self._created.get(name) or Run(self.folder / name).created for name in names}
        return [Run(self.folder / name) for name in sorted(names, key=lambda n: (self._created[n], n), reverse=True)]

    def find(self, text: str) -> Run:
        """The run with this id, name, or start of an id; "last" is the newest.

        Raises
        ------
        RunError
            If there is no such run, or more than one.
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
            raise RunError(f"{text!r} matches {len(found)} runs: {', '.join(run.id for run in found[:5])}")
        raise RunError(f"there is no run {text!r}; prunelab runs lists them")


class Run:
    """A run directory. It can be read at any time, also while it is being written."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    @property
    def id(self) -> str:
        """The name of the directory."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        """The log; see `prunelab.tui.runs.events`."""
        return self.path / "events.jsonl"

    @property
    def status_path(self) -> Path:
        """The summary of the current state."""
        return self.path / "status.json"

    @property
    def log_path(self) -> Path:
        """The output of the worker process."""
        return self.path / "log.txt"

    @property
    def lock_path(self) -> Path:
        """The file that the worker locks; contains its host and process number."""
        return self.path / "lock"

    @property
    def stop_path(self) -> Path:
        """The file that asks the worker to stop by its existence."""
        return self.path / "stop"

    # -- settings --------------------------------------------------------------------------------------------

    @cached_property
    def _record(self) -> dict[str, Any]:
        try:
            return read_record(self.path / "run.json", Record)
        except (RecordError, FileNotFoundError) as error:
            reason = "it has no run.json" if isinstance(error, FileNotFoundError) else str(error)
            raise RunError(f"{self.path} is not a readable run: {reason}") from error

    @cached_property
    def spec(self) -> RunSpec:
        """The settings; RunError if they cannot be read."""
        try:
            return RunSpec.from_json(self._record["spec"])
        except SpecError as error:
            raise RunError(f"{self.path} is not a readable run: {error}") from error

    @property
    def data(self) -> dict[str, Any] | None:
        """The properties of its data when first loaded: ``content`` and ``assumptions`` of `load_dataset`.

        None before that, and in runs of earlier versions. RunError if they cannot be read.
        """
        try:
            return read_record(self.path / "run.json", Record).get("data")
        except (RecordError, FileNotFoundError) as error:
            raise RunError(f"{self.path} is not a readable run: {error}") from error

    def keep_data(self, content: str | None, assumptions: Sequence[str]) -> None:
        """Record the properties of its data."""
        record = {**self._record, "data": {"content": content, "assumptions": list(assumptions)}}
        write_record(self.path / "run.json", record, sync=True)

    def check_content(self, content: str | None) -> None:
        """Refuse data that differ from those with which the run began.

        Raises
        ------
        RunError
            If the content of a file has changed.
        """
        if (data := self.data) is not None and data["content"] != content:
            raise RunError(
                f"{self.spec.dataset} has changed since {self.id} began: restore the file, or start a new run with it"
            )

    @property
    def created(self) -> float:
        """The time of creation, in seconds since 1970 (UTC); 0 if it cannot be read."""
        try:
            return self._record["created"]
        except RunError:
            return 0.0

    @property
    def name(self) -> str:
        """The user's name for the run; empty if there is none."""
        with contextlib.suppress(RunError):
            return self.read_name()
        return ""

    def read_name(self) -> str:
        """The user's name for the run; RunError if the file with the name cannot be read."""
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
        """Change the user's name for the run; RunError if the name is invalid."""
        try:
            name = check_name(name)
        except SpecError as error:
            raise RunError(f"cannot rename {self.id}: {error}") from error
        for is_last in (False, True):
            try:
                replace_file(self.path / "name", name.encode())
                return
            except OSError as error:
                # A worker that starts at this moment deletes temporary files.
                if is_last or not isinstance(error, FileNotFoundError):
                    raise RunError(f"cannot rename {self.id}: {error.strerror or error}") from error

    # -- state -----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The content of ``status.json``, with the actual ``state``: one of `STATES`.

        If the worker is gone, the state is the final event of the log, else "interrupted". A running run has a
        ``reason`` if its worker does not respond. An unreadable run has a ``reason``.
        """
        # Check the lock first: a worker that ends between the two reads has written its final event before.
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
        """Why the run with this status is unreadable, as far as a quick check shows; empty if it is readable."""
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
        """Whether a process computes the run."""
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
        """Without locks: determine it from the heartbeat, and from the worker's process if it is on this host."""
        holder = self._read_lock()
        if holder is None or locks.seconds_since_beat(self.lock_path) > locks.LOST_AFTER:
            return False
        host, number = holder
        return host != socket.gethostname() or locks.process_exists(number)

    def _silence(self) -> str:
        """A sentence if a worker on this host has sent no heartbeat for a while; else empty."""
        holder = self._read_lock()
        if holder is None or holder[0] != socket.gethostname():
            return ""  # the clocks of two hosts may differ
        silent = locks.seconds_since_beat(self.lock_path)
        if silent < locks.SILENT_AFTER:
            return ""
        return f"process {holder[1]} has not responded for {silent:.0f} s: it may be suspended"

    def lock(self) -> int:
        """Take the lock while the returned descriptor is open, in this process or in one that inherits it.

        If the file system has no locks, the run counts as running by `sign_lock` and the worker's
        heartbeat.

        Raises
        ------
        RunError
            If another process holds the lock.
        OSError
            If the lock cannot be taken.
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
                except BlockingIOError:  # possibly a reader that checks the lock
                    if attempt < 19:
                        time.sleep(0.05)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        raise RunError(f"{self.id} is already running")

    def holder(self) -> tuple[str, int] | None:
        """Host and process number of the worker, if it is alive."""
        return self._read_lock() if self.is_alive() else None

    def _read_lock(self) -> tuple[str, int] | None:
        with contextlib.suppress(OSError, ValueError):
            host, number = read_file(self.lock_path, 1000, follow_links=False).decode("ascii").split()
            if int(number) > 0:
                return host, int(number)
        return None

    def sign_lock(self, descriptor: int, process: int | None = None) -> None:
        """Write the process that holds the lock into the file; by default, this process."""
        os.ftruncate(descriptor, 0)
        holder = f"{socket.gethostname()} {os.getpid() if process is None else process}\n"
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, holder.encode("ascii", "replace"))

    # -- results ---------------------------------------------------------------------------------------------

    def points(self) -> list[dict[str, Any]]:
        """The rows of the finished points, each once, in the order of computation.

        Raises
        ------
        RunError
            If the run or its log cannot be read.
        """
        return self.read_points()[0].rows

    def read_points(self) -> tuple[Points, EventReader]:
        """The finished points, and the reader, which counts damaged and unverified lines."""
        points, reader = Points(self.spec), EventReader(self.events_path, only="point")
        try:
            for event in reader.read():
                points.insert(event["row"])
        except OSError as error:
            raise RunError(f"{self.events_path} cannot be read: {error.strerror or error}") from error
        return points, reader

    def events(self) -> Iterator[dict[str, Any]]:
        """All events so far."""
        return iter(EventReader(self.events_path).read())

    def model_path(self, seed: int) -> Path:
        """The dense network of a seed, a model file; it exists once the network is trained."""
        return self.path / f"dense-seed{seed}.safetensors"

    def checkpoint_path(self, seed: int) -> Path:
        """The checkpoint of a seed's training, kept until the seed is finished."""
        return self.path / f"checkpoint-seed{seed}.safetensors"

    def models(self) -> list[int]:
        """The seeds with a dense network."""
        with contextlib.suppress(RunError):
            return [seed for seed in self.spec.seeds if is_regular(self.model_path(seed))]
        return []

    def size(self) -> int:
        """The size of all files in bytes."""
        with contextlib.suppress(OSError):
            return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(self.path))
        return 0

    def remove_leftovers(self) -> None:
        """Delete temporary files of killed workers; only the process with the lock may call this."""
        names = ("run.json", "status.json", "name", "checkpoint-seed", "dense-seed")
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.path):
                # Temporary files of earlier versions begin with the name of their file and end randomly.
                is_temporary = entry.name.endswith(TEMPORARY_SUFFIX) or entry.name[1:].startswith(names)
                if entry.name[0] == "." and is_temporary and not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)

    def delete(self) -> None:
        """Delete the directory, or the link if it is one.

        Raises
        ------
        RunError
            If the run is running, or cannot be deleted; it is then still listed.
        """
        if self.is_alive():
            raise RunError(f"{self.id} is running: stop it before you delete it")
        hidden = self.path.with_name(f"{_DELETED}{self.id}")  # remove it from the list immediately
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
    """Whether a regular file exists at the path; a link is not one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Run.points` with NaN and inf in place of JSON's values."""
    special = {None: math.nan, "inf": math.inf, "-inf": -math.inf}
    return {
        name: special.get(value, value) if value is None or (isinstance(value, str) and name != "norm") else value
        for name, value in row.items()
    }
