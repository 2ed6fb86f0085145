"""Run directories: making, finding, reading and deleting them.

``run.json`` says what to run, and, once they are loaded, what its data are; ``status.json`` is how it stands, replaced
as a whole; ``events.jsonl`` is what happened, only ever appended to; ``name`` is what the user calls it. The file
``lock`` is locked for as long as a worker lives, which the kernel sees to: a lock cannot outlive its process.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import socket
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.data.datasets import data_home
from ...estimators.files import json_text, replace_file
from . import locks
from .spec import RunSpec, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

STATES = ("running", "finished", "stopped", "failed", "interrupted")

#: Larger files are not read: none of ours is, so they are damaged or somebody else's.
_MAX_JSON_BYTES = 16 * 2**20


class RunError(Exception):
    """A run cannot be found, read or changed; the message says why."""


class RunStore:
    """All runs of a user: the folder `runs` in the data home.

    Parameters
    ----------
    folder : path-like, optional
        Another folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        self.folder = Path(folder) if folder is not None else data_home() / "runs"

    def create(self, spec: RunSpec) -> Run:
        """Make the directory of a new run.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        label = "".join(c for c in Path(spec.dataset).stem if c.isalnum() or c == "-")[:20] or "data"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                path = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{label}-{secrets.token_hex(2)}"
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    break
            write_json(path / "run.json", {"format": 1, "created": time.time(), "spec": spec.to_json()}, sync=True)
        except OSError as error:
            raise RunError(
                f"cannot keep a run in {self.folder} ({error.strerror or error}): set PRUNELAB_HOME to a folder "
                "that you can write to"
            ) from error
        return Run(path)

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if entry.is_dir() and entry.name[0] not in "._"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"cannot list the runs in {self.folder}: {error.strerror or error}") from error
        return [Run(self.folder / name) for name in sorted(names, reverse=True)]

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
        """The log of what happened; see `prunelab.tui.runs.view`."""
        return self.path / "events.jsonl"

    @property
    def log_path(self) -> Path:
        """What the worker process printed."""
        return self.path / "log.txt"

    # -- what to run -----------------------------------------------------------------------------------------

    @cached_property
    def _record(self) -> dict[str, Any]:
        record = read_json(self.path / "run.json")
        if record is None:
            raise RunError(f"{self.path} is not a run that can be read: its run.json is missing or damaged")
        return record

    @cached_property
    def spec(self) -> RunSpec:
        """What to run; RunError if it cannot be read."""
        try:
            return RunSpec.from_json(self._record.get("spec"))
        except SpecError as error:
            raise RunError(f"{self.path} is not a run that can be read: {error}") from error

    @property
    def data(self) -> dict[str, Any] | None:
        """What its data were when they were first loaded: ``content`` and ``assumptions`` of `load_dataset`.

        None before that, and in runs of earlier versions.
        """
        data = (read_json(self.path / "run.json") or {}).get("data")
        return data if isinstance(data, dict) else None

    def keep_data(self, content: str | None, assumptions: Sequence[str]) -> None:
        """Record what its data are."""
        record = {**self._record, "data": {"content": content, "assumptions": list(assumptions)}}
        write_json(self.path / "run.json", record, sync=True)

    def check_content(self, content: str | None) -> None:
        """Refuse data that are not those the run began with.

        Raises
        ------
        RunError
            If the content of a file has changed.
        """
        if self.data is not None and self.data.get("content") != content:
            raise RunError(
                f"{self.spec.dataset} has changed since {self.id} began: put the file back, or start a new run with it"
            )

    @property
    def created(self) -> float:
        """When it was made, in seconds since 1970."""
        return float(self._record.get("created", 0.0))

    @property
    def name(self) -> str:
        """What the user calls it; empty if nothing."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (self.path / "name").read_text("utf-8").strip()[:200]
        with contextlib.suppress(RunError):
            return self.spec.name
        return ""

    def rename(self, name: str) -> None:
        """Call it something else."""
        line = " ".join("".join(c if c.isprintable() else " " for c in name).split())[:200]
        try:
            replace_file(self.path / "name", line.encode())
        except OSError as error:
            raise RunError(f"cannot rename {self.id}: {error.strerror or error}") from error

    # -- how it stands ---------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What `status.json` says, with ``state`` corrected: a run whose process is gone is "interrupted"."""
        # The lock first: a worker that ends between the two reads has written its last word before it lets go.
        alive = self.is_alive()
        status = read_json(self.path / "status.json") or {"state": "running"}
        if status.get("state") not in STATES:
            status["state"] = "failed"
            status["reason"] = "its status.json is damaged"
        if status["state"] == "running" and not alive:
            status["state"] = "interrupted"
        elif alive:
            status["state"] = "running"
        return status

    @property
    def state(self) -> str:
        """One of `STATES`."""
        return self.status()["state"]

    def is_alive(self) -> bool:
        """Whether a process holds the lock."""
        try:
            with open(self.path / "lock", "rb") as file:
                return bool(locks.is_held(file.fileno()))
        except OSError:
            return False

    def lock(self) -> int:
        """Take the lock for as long as the returned descriptor stays open, in this process or one that inherits it.

        Raises
        ------
        RunError
            If a process holds it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for attempt in range(20):
            try:
                locks.acquire(descriptor)
                return descriptor
            except BlockingIOError:  # perhaps a reader that only looks
                if attempt < 19:
                    time.sleep(0.05)
        os.close(descriptor)
        raise RunError(f"{self.id} is running already")

    def holder(self) -> tuple[str, int] | None:
        """Host and process number of the worker, if it lives."""
        if not self.is_alive():
            return None
        with contextlib.suppress(OSError, ValueError):
            host, number = (self.path / "lock").read_text("ascii").split()
            return host, int(number)
        return None

    def sign_lock(self, descriptor: int) -> None:
        """Write into the lock who holds it."""
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{socket.gethostname()} {os.getpid()}\n".encode("ascii", "replace"), 0)

    @property
    def stop_path(self) -> Path:
        """Whoever makes this file asks the worker to stop."""
        return self.path / "stop"

    # -- what came out ---------------------------------------------------------------------------------------

    def points(self) -> list[dict[str, Any]]:
        """The rows of the points that are finished, in their order, each with the `WAYS` it was pruned in."""
        return [event["row"] for event in EventReader(self.events_path, only="point").read()]

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
            return [seed for seed in self.spec.seeds if self.model_path(seed).is_file()]
        return []

    def size(self) -> int:
        """Bytes on the disk."""
        with contextlib.suppress(OSError):
            return sum(entry.stat().st_size for entry in os.scandir(self.path))
        return 0

    def delete(self) -> None:
        """Remove the directory; RunError if the run is running."""
        if self.is_alive():
            raise RunError(f"{self.id} is running: stop it before you delete it")
        hidden = self.path.with_name(f".deleted-{self.id}")  # gone from the list at once, whatever happens
        try:
            os.rename(self.path, hidden)
            shutil.rmtree(hidden)
        except OSError as error:
            raise RunError(f"cannot delete {self.id}: {error.strerror or error}") from error


class EventReader:
    """Reads an `events.jsonl` from where it left off. A line that is not finished yet waits for the next time.

    With `only`, it gives events of this type only, which is many times faster where there are few of them.
    """

    def __init__(self, path: Path, only: str = ""):
        self._path = path
        self._offset = 0
        self._only, self._mark = only, f'"{only}"'.encode() if only else b""

    def read(self) -> list[dict[str, Any]]:
        """The events since the last call."""
        try:
            with open(self._path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size <= self._offset:
                    return []
                file.seek(self._offset)
                data = file.read(size - self._offset)
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        events = []
        for line in data[:end].splitlines():
            if self._mark not in line:
                continue
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and isinstance(event.get("type"), str) and self._only in ("", event["type"]):
                    events.append(event)
        return events


def numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Run.points` with NaN and inf where JSON has none."""
    special = {None: math.nan, "inf": math.inf, "-inf": -math.inf}
    return {
        name: special.get(value, value) if value is None or (isinstance(value, str) and name != "norm") else value
        for name, value in row.items()
    }


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file, or None if there is none that can be read."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _MAX_JSON_BYTES:
                return None
            data = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def write_json(path: Path, data: Mapping[str, Any], *, sync: bool = False) -> None:
    """Replace a file completely or not at all; with `sync`, it is on the disk when this returns."""
    replace_file(path, json_text(data).encode(), sync=sync)
