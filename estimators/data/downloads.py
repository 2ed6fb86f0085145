"""Downloads of named data sets: verified before they are put into their place, with progress."""

from __future__ import annotations

import contextlib
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from .errors import DatasetError, one_line

T = TypeVar("T")

DOWNLOAD_TIMEOUT = 30.0
"""Seconds a download may stay silent before it counts as failed."""

SECONDS_BETWEEN_LOOKS = 0.2
"""Seconds between reports of the bytes received."""


class Place(NamedTuple):
    """What is downloaded, and where to.

    Attributes
    ----------
    title : str
        The name of the data set for messages.
    download_mb : int
        About how many megabytes it has.
    root : Path
        The folder of all data sets.
    inside : Path
        Where its files are, relative to the root.
    """

    title: str
    download_mb: int
    root: Path
    inside: Path


def download(
    place: Place,
    get: Callable[[Path], object],
    read: Callable[[Path], T],
    otherwise: str,
    progress: Callable[[str], object] | None,
    on_bytes: Callable[[int], object] | None,
) -> T:
    """Download files, verify them, put them into their place, and return what was read.

    The files arrive in a temporary folder beside their place and are moved only when they are verified,
    so that a download that fails or is interrupted leaves nothing behind.

    Parameters
    ----------
    place : Place
    get : callable
        Downloads into a folder that takes the place of the root.
    read : callable
        Reads and verifies the files in a folder; raises DatasetError if they are not the genuine ones.
    otherwise : str
        What can be done without a download, for messages.
    progress, on_bytes : callable, optional
        See `prunelab.estimators.data.datasets.load_dataset`.
    """
    title, megabytes, root, inside = place
    folder = root / inside
    if progress is not None:
        progress(f"Downloading {title} (about {megabytes} MB) to {folder}.")
    try:
        _make_private(root)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            arrived = Path(temporary) / inside
            watched = contextlib.nullcontext() if on_bytes is None else _watched(arrived, on_bytes)
            with watched, _socket_timeout(DOWNLOAD_TIMEOUT):
                get(Path(temporary))
            found = read(arrived)
            _make_private(folder)
            for path in arrived.iterdir():
                path.replace(folder / path.name)
    except DatasetError as error:
        raise DatasetError(
            f"the files that arrived for {title} are not the genuine ones and were thrown away: try "
            f"again later, {otherwise}"
        ) from error
    except Exception as error:  # torchvision and the network raise nearly anything
        raise DatasetError(
            f"{title} could not be downloaded ({_reason(error)}): check the connection and that "
            f"{root} can be written, {otherwise}"
        ) from error
    return found


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Make connections that stay silent fail, because torchvision would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _watched(folder: Path, on_bytes: Callable[[int], object]) -> Iterator[None]:
    """Report the bytes of the archives in a folder, because torchvision reports no progress to callers."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            on_bytes(sum(path.stat().st_size for path in folder.glob("*.gz")))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _make_private(folder: Path) -> None:
    """Create a folder and the missing ones above it, open to their owner only."""
    for path in (*reversed(folder.parents), folder):
        path.mkdir(mode=0o700, exist_ok=True)


def _reason(error: BaseException) -> str:
    """Why a download failed: the first of the failures that torchvision reports together."""
    network = re.search(r"<urlopen error (?:\[Errno -?\d+\] )?([^>]+)>", str(error))
    return f"no connection: {one_line(OSError(network[1]))}" if network else one_line(error)
