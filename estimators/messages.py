"""Values in error messages, and warnings that name the caller's line."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

#: At most so many elements of a sequence are shown, and so many characters of a value.
MAX_ELEMENTS, MAX_CHARACTERS = 10, 120

_PACKAGE = __name__.rpartition(".")[0]


class PruningWarning(UserWarning):
    """A pruning did what was asked, with a consequence worth knowing."""


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and report the line outside of this package that led here."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith((_PACKAGE, "contextlib")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def as_text(value: Any) -> str:
    """Represent a value on one line that is not too long, with NumPy's numbers and arrays as Python's."""
    text = " ".join(_represented(value).split())
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 3]}..."


def _represented(value: Any) -> str:
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy, which is not imported for this
        value = (value[: MAX_ELEMENTS + 1] if getattr(value, "ndim", 0) else value).tolist()
    if isinstance(value, (list, tuple)):
        elements = [_represented(element) for element in value[:MAX_ELEMENTS]]
        elements += ["..."] * (len(value) > MAX_ELEMENTS)
        if isinstance(value, list):
            return f"[{', '.join(elements)}]"
        return f"({', '.join(elements)}{',' * (len(elements) == 1)})"
    return str(value) if hasattr(value, "tolist") else repr(value)  # Python has no number for a few of NumPy's
