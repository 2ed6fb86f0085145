"""Files: atomic replacement, bounded reading, numbers in JSON, and arrays with a checksum.

Every file that prunelab reads or writes as a whole goes through this module. Data sets have readers of their own
(`prunelab.estimators.data`), and so does the log of a run, which is only appended to.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .messages import warn_caller

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

#: Temporary files have this ending and a name that starts with a dot; an interrupted process may leave one behind.
TEMPORARY_SUFFIX = ".tmp"

#: Larger files of arrays are refused before they are read.
MAX_ARRAY_BYTES = 8 * 2**30

#: Larger JSON files are refused before they are read.
MAX_JSON_BYTES = 16 * 2**20

#: Larger headers of array files are refused.
_MAX_HEADER_BYTES = 100 * 2**20

#: What decoding a header with other content than expected raises.
DAMAGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)

_NO_CHECKSUM = b"0" * 64
_CHECKSUM = re.compile(rb'"prunelab":"\{\\"sha256\\": \\"([0-9a-f]{64})\\"')
_SEAL = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\Z')
_DESCRIPTOR = re.compile(r"/dev/(?:(stdout)|(stderr)|fd/(\d+))|/proc/self/fd/(\d+)")


class FileError(OSError):
    """A file is not a regular file, or too large; the message names the reason."""


# Writing ------------------------------------------------------------------------------------------------


def replace_file(path: str | os.PathLike[str], content: bytes, *, sync: bool = False, mode: int = 0o600) -> None:
    """Write a file completely or not at all. A symbolic link at `path` is replaced, not followed.

    Parameters
    ----------
    path : path-like
    content : bytes
    sync : bool, default=False
        Whether the content must be on the disk when this returns.
    mode : int, default=0o600
        Permissions of the file, whatever the umask.

    Raises
    ------
    OSError
        If it cannot be written; an existing file is unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def make_private_folder(path: str | os.PathLike[str]) -> None:
    """Create a folder, and those above it that are missing, with mode 0700 whatever the umask.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    path = Path(path)
    if path.is_dir():
        return
    make_private_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:  # another process was faster, or it is a file
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None
    else:
        path.chmod(0o700)


def write_output(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file where the user asked for one.

    A symbolic link is followed and remains; a pipe or a device is written to; an existing file keeps its
    permissions, and is replaced only when all of the new content has been written.

    Parameters
    ----------
    path : path-like
        A leading ``~`` is not expanded.
    content : str or bytes
        Text is encoded as UTF-8.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor = _standard_descriptor(os.fspath(path))
    if descriptor is not None:  # /dev/stdout may be a regular file that others append to
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        return
    path = Path(os.path.realpath(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG | (0o666 & ~_umask())
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISREG(mode):
        try:
            replace_file(path, data, mode=stat.S_IMODE(mode))
            return
        except PermissionError:  # the file may be writable where its folder is not
            if not path.exists():
                raise
    with open(path, "wb") as file:
        file.write(data)


def is_standard_output(path: str | os.PathLike[str]) -> bool:
    """Whether this names the standard output of the process, such as ``/dev/stdout``."""
    return _standard_descriptor(os.fspath(path)) == 1


def _standard_descriptor(path: str) -> int | None:
    match = _DESCRIPTOR.fullmatch(path)
    if match is None:
        return None
    stdout, stderr, *numbers = match.groups()
    return 1 if stdout else 2 if stderr else int(next(filter(None, numbers)))


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


# Reading ------------------------------------------------------------------------------------------------


def open_regular(
    path: str | os.PathLike[str], flags: int = os.O_RDONLY, *, follow_links: bool = True, mode: int = 0o600
) -> int:
    """Open a regular file without waiting; return its descriptor.

    Parameters
    ----------
    path : path-like
    flags : int
        As for `os.open`.
    follow_links : bool, default=True
        Whether `path` may be a symbolic link. False for files in folders that others may have written.
    mode : int, default=0o600
        Permissions of a file that is created, whatever the umask.

    Raises
    ------
    FileError
        If `path` is a folder, a pipe, a device, or a link that may not be followed.
    OSError
        If it cannot be opened.
    """
    look = os.stat if follow_links else os.lstat
    is_new = False
    try:
        _require_regular(path, look(path).st_mode)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        is_new = True
    extra = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow_links:
        extra |= getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags | extra, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileError(f"{os.fspath(path)} is a symbolic link, which is not followed here") from error
        raise
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
        if is_new and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISLNK, "symbolic link"), (stat.S_ISFIFO, "pipe"))
    kind = next((name for is_kind, name in kinds if is_kind(mode)), "device or socket")
    raise FileError(f"{os.fspath(path)} is a {kind}, not a regular file")


def read_file(path: str | os.PathLike[str], limit: int, *, follow_links: bool = True) -> bytes:
    """Read a whole regular file of at most `limit` bytes, counted as they are read.

    Raises
    ------
    FileError
        If the file is larger, or not a regular file; see `open_regular`.
    OSError
        If it cannot be read.
    """
    with os.fdopen(open_regular(path, follow_links=follow_links), "rb") as file:
        if os.fstat(file.fileno()).st_size <= limit:
            data = file.read(limit + 1)
            if len(data) <= limit:
                return data
    raise FileError(f"{os.fspath(path)} is larger than the limit of {limit:,} bytes")


# Numbers in JSON ----------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """Replace the numbers that JSON does not have: NaN by None, infinities by "inf" and "-inf"; tuples by lists."""
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def json_text(value: Any, indent: int | None = None) -> str:
    """Encode as JSON, with the numbers as `to_json` gives them."""
    return json.dumps(to_json(value), indent=indent, allow_nan=False)


def float_from_json(value: Any) -> float:
    """A number as `to_json` stored it; TypeError for anything else."""
    if value is None:
        return math.nan
    if value in ("inf", "-inf") or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return float(value)
    raise TypeError(f"{value!r} is not a number")


def natural(value: Any) -> int:
    """A whole number of at least 0; TypeError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is not a whole number of at least 0")
    return value


def sealed_json(value: Mapping[str, Any]) -> bytes:
    """Encode a JSON object with at least one entry on one line, with a checksum as its last entry, ``"crc32"``."""
    body = json_text(value).encode()[:-1]
    return body + b', "crc32": "%08x"}' % zlib.crc32(body)


def check_seal(data: bytes) -> bool:
    """Whether the JSON object has the checksum that `sealed_json` added; False if it has none.

    Raises
    ------
    ValueError
        If the checksum is wrong.
    """
    match = _SEAL.search(data)
    if match is None:
        return False
    if zlib.crc32(data[: match.start()]) != int(match[1], 16):
        raise ValueError("its checksum is wrong: it was damaged or changed")
    return True


# Arrays -------------------------------------------------------------------------------------------------


class UnverifiedFileWarning(UserWarning):
    """A file was written by an earlier version, which stored no checksum: damage to it cannot be detected."""


def warn_if_unverified(file: ArrayFile, path: str | os.PathLike[str], advice: str = "") -> None:
    """Warn that damage to a file without a checksum cannot be detected; `advice` ends the sentence."""
    if not file.is_verified:
        warn_caller(
            f"{path} was written by an earlier version of prunelab without a checksum, so damage to it cannot be "
            f"detected{advice}",
            UnverifiedFileWarning,
        )


class ArrayFile(NamedTuple):
    """The content of a file of arrays.

    Attributes
    ----------
    header : dict
        The JSON object that was stored beside the arrays; numbers that JSON lacks are as `to_json` gives them.
    arrays : dict of str to ndarray
    is_verified : bool
        Whether the file has a checksum (a wrong one is an error); files of earlier versions have none.
    """

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    is_verified: bool


def pack_arrays(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any], kind: str, version: int) -> bytes:
    """Encode arrays and a JSON object as safetensors, with a SHA-256 checksum of the whole file in its metadata.

    The checksum is computed with zeros in its place, so it covers every other byte. The same content always gives
    the same bytes.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    header : mapping
    kind : str
        What the file is, such as "prunelab-model".
    version : int
        Version of the format of this kind of file.
    """
    import numpy as np
    from safetensors.numpy import save

    # One entry only: safetensors writes several in a random order.
    text = json_text({"sha256": _NO_CHECKSUM.decode(), "format": kind, "version": version, **header})
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = save(contiguous, metadata={"prunelab": text})
    start = _checksum_start(data)
    assert start is not None
    return data[:start] + hashlib.sha256(data).hexdigest().encode() + data[start + len(_NO_CHECKSUM) :]


def unpack_arrays(data: bytes, kind: str, version: int, unverified: Collection[int] = ()) -> ArrayFile:
    """Decode what `pack_arrays` encoded.

    Parameters
    ----------
    data : bytes
    kind : str
        What the file has to be.
    version : int
        The version of the format that has a checksum.
    unverified : collection of int
        Earlier versions, which have none and are accepted without.

    Raises
    ------
    ValueError
        If the data are damaged, or something else; the message starts with "it".
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        metadata = json.loads(data[8 : 8 + _header_size(data)])["__metadata__"]
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"it is not a safetensors file of prunelab ({_one_line(error)})") from error
    try:
        header = json.loads(metadata["prunelab"])
        found = header["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("it is a safetensors file, but prunelab did not write it") from error
    if found != kind:
        raise ValueError(f"it is a file of the kind {found!r}, not {kind!r}")
    start = _checksum_start(data)
    if start is not None:
        end = start + len(_NO_CHECKSUM)
        if hashlib.sha256(data[:start] + _NO_CHECKSUM + data[end:]).hexdigest().encode() != data[start:end]:
            raise ValueError("its checksum is wrong: the file was damaged or changed")
    if header.get("version") != version and header.get("version") not in unverified:
        versions = " or ".join(map(str, sorted({version, *unverified})))
        raise ValueError(f"it has version {header.get('version')!r} of its format, and this prunelab reads {versions}")
    # Without this, damage to the name of the checksum would make a file look like one of an earlier version.
    if start is None and (header["version"] == version or metadata.keys() != {"prunelab"} or "sha256" in header):
        raise ValueError("it has no checksum: the file was damaged or changed")
    return ArrayFile(header, arrays, is_verified=start is not None)


def _header_size(data: bytes) -> int:
    return min(int.from_bytes(data[:8], "little"), _MAX_HEADER_BYTES)


def _checksum_start(data: bytes) -> int | None:
    """Position of the checksum. Quotes inside of strings are escaped, so nothing else looks like it."""
    match = _CHECKSUM.search(data, 8, 8 + _header_size(data))
    return None if match is None else match.start(1)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
