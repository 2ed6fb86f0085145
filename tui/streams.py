"""Text for people on standard output and standard error, whatever terminal is behind them."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

from .cleaning import clean

if TYPE_CHECKING:
    from io import TextIOWrapper

#: Some of what plots, tables and the app are drawn with.
_DRAWN = "●─│━⠒▀…±"


def prepare() -> None:
    """Let standard output and error take every character, and keep to ASCII in a terminal of the C locale.

    Python writes UTF-8 in the C locale, for the sake of files; a terminal that is said to be of that locale need not
    show it. Characters that a stream cannot take are written as escapes instead of ending the command.
    """
    for stream in (sys.stdout, sys.stderr, sys.__stderr__):
        if not hasattr(stream, "reconfigure"):  # a stream of a test or of another program
            continue
        wrapper: TextIOWrapper = stream  # type: ignore[assignment]
        if wrapper.isatty() and _is_c_locale():
            wrapper.reconfigure(encoding="ascii", errors="backslashreplace")
        elif wrapper.errors == "strict":
            wrapper.reconfigure(errors="backslashreplace")


def _is_c_locale() -> bool:
    """Whether the user's locale is C or POSIX by name; Python itself sets LC_CTYPE to C.UTF-8 then."""
    if os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8") == "1":
        return False
    named = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return named in ("C", "POSIX")


def can_draw(stream: IO[str] | None) -> bool:
    """Whether a stream takes more than ASCII, such as what curves are drawn with."""
    try:
        _DRAWN.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shown(text: object, stream: IO[str] | None) -> str:
    """The text as a stream shows it: without control characters, and "?" for what it cannot take."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return clean(text).encode(encoding, "replace").decode(encoding)


def tell(message: object, stream: IO[str] | None = None) -> None:
    """Write a line for people, on standard error by default. It may hold anything, such as names and paths."""
    stream = sys.stderr if stream is None else stream
    print(shown(message, stream), file=stream)
