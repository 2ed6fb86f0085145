"""What to load and how to read it: the one description that scripts, the command line, runs and the app pass along.

Importing this module loads neither NumPy nor pandas.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..files import FileError, open_regular
from .errors import DatasetError

#: How values are scaled, and in words. "auto" scales pixels as "signed" does, and standardises other features.
PIXELS = {
    "auto": "[-1, 1]",
    "signed": "[-1, 1]",
    "unit": "[0, 1]",
    "standard": "mean 0 and standard deviation 1",
}

FILE_SUFFIXES = (".npz", ".csv")

#: Larger files are refused, counted as they are read.
MAX_FILE_BYTES = {".npz": 4 * 2**30, ".csv": 2**30}

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "space": " ", "pipe": "|"}

_CHUNK = 2**20


@dataclass(frozen=True)
class DataOptions:
    """How to read a file of the user's own; what is left out is inferred from the file, or refused.

    Attributes
    ----------
    label : str, optional
        Name of the column of class labels. The columns of a table without a header line have the names "1", "2", ...
    delimiter : str, optional
        One character between cells, or "comma", "semicolon", "tab", "space" or "pipe".
    decimal : {".", ","}, optional
        The decimal mark.
    header : "auto" or bool, default="auto"
        Whether the first line names the columns.
    index : "auto", bool or str, default="auto"
        Whether the first column holds row names, which are left out; or the name of the column of row names.
    test : float or str, optional
        The fraction of the samples that is set aside for testing, or the path of a file of test samples.
    label_noise : float, default=0
        The fraction of the training labels that are replaced by those of other classes; of named data sets too.
    """

    label: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    header: bool | str = "auto"
    index: bool | str = "auto"
    test: float | str | None = None
    label_noise: float = 0.0

    @property
    def for_files(self) -> list[str]:
        """The names of the given options for reading a file."""
        return [name for name in self.given if name != "label_noise"]

    @property
    def given(self) -> dict[str, Any]:
        """The options that differ from the defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @property
    def separator(self) -> str | None:
        """The delimiter as one character."""
        return None if self.delimiter is None else _DELIMITERS.get(self.delimiter.casefold(), self.delimiter)

    def problems(self) -> dict[str, str]:
        """A sentence for each option with a wrong value; empty if there is none."""
        found: dict[str, str] = {}
        if self.label is not None and not (isinstance(self.label, str) and self.label.strip()):
            found["label"] = f"label must be the name of a column, got {self.label!r}"
        separator = self.separator if self.delimiter is None or isinstance(self.delimiter, str) else ""
        if separator is not None and (len(separator) != 1 or separator in '"\r\n\0' or not separator.isascii()):
            found["delimiter"] = f"delimiter must be one character, or a word such as tab, got {separator!r}"
        if self.decimal not in (None, ".", ","):
            found["decimal"] = f"decimal must be '.' or ',', got {self.decimal!r}"
        elif self.decimal is not None and self.decimal == separator:
            found["decimal"] = f"decimal and delimiter must differ, both are {self.decimal!r}"
        if self.header != "auto" and not isinstance(self.header, bool):
            found["header"] = f"header must be 'auto', True or False, got {self.header!r}"
        if not isinstance(self.index, (bool, str)) or self.index == "":
            found["index"] = f"index must be 'auto', True, False or the name of a column, got {self.index!r}"
        if isinstance(self.test, bool) or not isinstance(self.test, (int, float, str, type(None))) or self.test == "":
            found["test"] = f"test must be a fraction or the path of a file, got {self.test!r}"
        elif isinstance(self.test, (int, float)) and not 0 < self.test < 1:
            found["test"] = f"test must be more than 0 and less than 1, or the path of a file, got {self.test!r}"
        noise = self.label_noise
        if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0 <= noise <= 1:
            found["label_noise"] = f"label_noise must be a number from 0 to 1, got {noise!r}"
        return found

    def check(self) -> None:
        """Raise DatasetError for the first problem."""
        for sentence in self.problems().values():
            raise DatasetError(sentence)

    def to_json(self) -> dict[str, Any]:
        """The options that differ from the defaults, as JSON has them."""
        return self.given

    @classmethod
    def from_json(cls, data: Any) -> DataOptions:
        """The inverse of `to_json`; TypeError or DatasetError if the data are something else."""
        if not isinstance(data, Mapping) or not {f.name for f in fields(cls)} >= data.keys():
            raise TypeError(f"{data!r} are not options of a data file")
        options = cls(**data)
        options.check()
        return options


@dataclass(frozen=True)
class DataSource:
    """A data set: a name or the path of a file, and how to read and scale it.

    Attributes
    ----------
    dataset : str
        A name, or the path of a ``.npz`` or ``.csv`` file.
    root : str or None
        The folder that holds the named data sets.
    pixels : str
        One of `PIXELS`.
    options : DataOptions
    """

    dataset: str = "digits"
    root: str | None = None
    pixels: str = "auto"
    options: DataOptions = field(default_factory=DataOptions)

    @property
    def paths(self) -> list[Path]:
        """The files of the user's own that it consists of; none for a named data set."""
        path = Path(os.path.expanduser(self.dataset))
        if path.suffix.lower() not in FILE_SUFFIXES:
            return []
        test = self.options.test
        return [path, Path(os.path.expanduser(test))] if isinstance(test, str) else [path]

    def content(self) -> str | None:
        """Identify the content of its files; None for a named data set, whose files are verified when they are loaded.

        Returns
        -------
        str or None
            The SHA-256 of the file, in hexadecimal; of two files, with a "+" between.

        Raises
        ------
        DatasetError
            If a file cannot be read, or is too large.
        """
        return "+".join(map(content_of, self.paths)) or None

    def to_json(self) -> dict[str, Any]:
        """The description as JSON has it."""
        return {**asdict(self), "options": self.options.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DataSource:
        """The inverse of `to_json`."""
        return cls(**{**data, "options": DataOptions.from_json(data["options"])})


def content_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; DatasetError if it cannot be read or is too large."""
    descriptor = open_file(path)
    with os.fdopen(descriptor, "rb") as stream:
        return hash_stream(stream, path)


def open_file(path: Path) -> int:
    """Open a file for reading; DatasetError if it is missing, or a folder, a pipe or a device."""
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}: check the path") from None
    except FileError as error:
        raise DatasetError(f"{error}: give the path of a .npz or .csv file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DatasetError(
            f"{path} cannot be read ({reason or error}): check the file and that you may read it"
        ) from error


def hash_stream(stream: Any, path: Path) -> str:
    """Hash an open file up to the limit of its kind, and go back to its beginning."""
    limit = MAX_FILE_BYTES[path.suffix.lower()]
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise DatasetError(f"{path} is too large ({limit:,} bytes at most): save fewer samples, or as .npz")
        digest.update(chunk)
    stream.seek(0)
    return digest.hexdigest()
