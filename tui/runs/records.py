"""Reading and writing the small JSON files: ``run.json``, ``status.json``, ``settings.json``.

One reader for all of them: it bounds the size, follows no links, and validates against a schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...estimators.files import MAX_JSON_BYTES, check_seal, read_file, replace_file, sealed_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: The first format with a checksum; in files of earlier versions, run.json has format 1, and status.json none.
FORMAT = 2


class RecordError(Exception):
    """A file cannot be read, or has the wrong content; the message begins with the file's name."""


def read_record(path: Path, schema: Any) -> dict[str, Any]:
    """Read the JSON object in a file.

    Parameters
    ----------
    path : Path
    schema : type
        One of `prunelab.tui.runs.schemas`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    RecordError
        If it cannot be read, or does not match the schema.
    """
    try:
        data = read_file(path, MAX_JSON_BYTES, follow_links=False)
        is_sealed = check_seal(data)
        record = msgspec.json.decode(data, type=schema)
        if not is_sealed and record.get("format", 1) >= FORMAT:
            raise ValueError("its checksum is missing: it was damaged or changed")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path.name} is damaged: {error}") from error
    return record


def write_record(path: Path, record: Mapping[str, Any], *, sync: bool = False) -> None:
    """Replace a file with a JSON object with a checksum; with `sync`, it is on the disk when this returns."""
    replace_file(path, sealed_json({**record, "format": FORMAT}), sync=sync)
