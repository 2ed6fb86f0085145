"""The error that every loader of data raises."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set cannot be loaded; the message names the reason and a remedy."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line and without a full stop, or its type if it has none."""
    line = " ".join(str(error).split()).rstrip(".")
    return "".join(c if c.isprintable() else "?" for c in line) or type(error).__name__
