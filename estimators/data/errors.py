"""The error that every loader of data raises."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set that cannot be loaded; the message says why and what to do about it."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line and without a full stop, or its type if it has none."""
    line = " ".join(str(error).split()).rstrip(".")
    return "".join(c if c.isprintable() else "?" for c in line) or type(error).__name__
