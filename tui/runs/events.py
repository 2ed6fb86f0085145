"""The log of a run, ``events.jsonl``: one JSON object per line, each with a checksum; lines are only appended.

Readers trust a line if its checksum is right. Lines of earlier versions have none: they are used, and counted as
unverified, if they precede all lines with a checksum. All other lines are damaged: they are counted and ignored.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ...estimators.files import FileError, check_seal, open_regular, sealed_json
from .schemas import EVENTS, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Larger logs and longer lines are not read: no worker writes such.
MAX_LOG_BYTES = 2**30
MAX_LINE_BYTES = 16 * 2**20

_CHUNK = 2**20


class EventReader:
    """Reads a log from the position of the last call. An unfinished line is read when it is complete.

    Parameters
    ----------
    path : Path
    only : str
        Return only events of this type, which is much faster if there are few of them.

    Attributes
    ----------
    n_damaged, n_unverified : int
        The number of ignored lines, and of lines used without a checksum.
    """

    def __init__(self, path: Path, only: str = ""):
        self._path = path
        self._offset = 0
        self._only, self._mark = only, f'"{only}"'.encode() if only else b""
        self._is_sealed = False
        self.n_damaged = self.n_unverified = 0

    def read(self) -> list[dict[str, Any]]:
        """The events since the last call; an empty list if there is no log.

        Raises
        ------
        OSError
            If the log cannot be read, is too large, or is not a regular file.
        """
        try:
            descriptor = open_regular(self._path, follow_links=False)
        except FileNotFoundError:
            return []
        events = []
        with os.fdopen(descriptor, "rb") as file:
            file.seek(self._offset)
            rest = b""
            while data := file.read(_CHUNK):
                *lines, rest = (rest + data).split(b"\n")
                self._offset += sum(len(line) + 1 for line in lines)
                if self._offset > MAX_LOG_BYTES or len(rest) > MAX_LINE_BYTES:
                    raise FileError(f"{self._path} is too large, or has a line that is too long")
                events += [event for line in lines if (event := self._take(line)) is not None]
        return events

    def _take(self, line: bytes) -> dict[str, Any] | None:
        try:
            is_sealed = check_seal(line)
            if self._is_sealed and not is_sealed:
                raise ValueError("its checksum is missing, although earlier lines have one")
            self._is_sealed = is_sealed
            self.n_unverified += not is_sealed
            if self._mark not in line:
                return None
            event = decode_event(line)
        except ValueError:
            self.n_damaged += 1
            return None
        return event if self._only in ("", event["type"]) else None


def decode_event(line: bytes) -> dict[str, Any]:
    """Decode a line, and check it against the schema of its type; ValueError if it does not fit."""
    try:
        event = msgspec.json.decode(line, type=dict[str, Any])
        kind = event["type"]
        if not isinstance(kind, str):
            raise ValueError("its type is not a string")
        if kind not in EVENTS:  # written by a newer version
            return event
        event = msgspec.convert(event, EVENTS[kind])
        if kind == "point":
            msgspec.convert(event["row"], Row)
    except (msgspec.MsgspecError, KeyError, RecursionError) as error:
        raise ValueError(f"it is not a valid event: {error}") from error
    return event


class EventLog:
    """Appends to a log.

    Readers use complete lines only. So an event that must not be lost is synchronised to the disk before the end of its
    line is written: no reader sees an event that a power failure could undo. A line that an earlier worker left
    unfinished is completed if only its end is missing, and removed otherwise.

    Attributes
    ----------
    earlier : list of dict
        The events already in the log.
    n_damaged, n_unverified : int
        The number of ignored lines, and of lines without a checksum.

    Raises
    ------
    OSError
        If the log cannot be opened, or is not a regular file.
    """

    def __init__(self, path: Path):
        self._descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, follow_links=False)
        try:
            self._complete_last_line()
            reader = EventReader(path)
            self.earlier = reader.read()
        except BaseException:
            self.close()
            raise
        self.n_damaged, self.n_unverified = reader.n_damaged, reader.n_unverified

    def append(self, event: Mapping[str, Any], *, sync: bool = False) -> None:
        """Append an event; with `sync`, it is on the disk before any process can read it.

        Raises
        ------
        OSError
            If it cannot be written; the log is then unchanged.
        """
        line = sealed_json(event)
        end = os.fstat(self._descriptor).st_size
        if end and self._read(1, end - 1) != b"\n":  # a failed write that could not be undone
            line = b"\n" + line
        try:
            if sync:
                self._write(line)
                os.fsync(self._descriptor)
                self._write(b"\n")
            else:
                self._write(line + b"\n")
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, end)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _read(self, size: int, position: int) -> bytes:
        os.lseek(self._descriptor, position, os.SEEK_SET)  # Windows has no os.pread; writes go to the end anyway
        return os.read(self._descriptor, size)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _complete_last_line(self) -> None:
        size = position = os.fstat(self._descriptor).st_size
        tail = b""
        while position and b"\n" not in tail:
            if len(tail) > MAX_LINE_BYTES:
                raise FileError("the last line of the log is too long")
            position = max(0, position - _CHUNK)
            tail = self._read(size - position, position)
        unfinished = tail[tail.rfind(b"\n") + 1 :]
        if not unfinished:
            return
        try:
            check_seal(unfinished)
            decode_event(unfinished)
        except ValueError:
            os.ftruncate(self._descriptor, size - len(unfinished))
        else:
            self._write(b"\n")


def last_event(path: Path) -> dict[str, Any] | None:
    """The event in the last complete line of a log; None if it cannot be read."""
    try:
        with os.fdopen(open_regular(path, follow_links=False), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _CHUNK))
            *lines, _ = file.read(_CHUNK).split(b"\n")
        line = lines[-1] if lines else b""
        check_seal(line)
        return decode_event(line)
    except (OSError, ValueError):
        return None
