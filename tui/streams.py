"""Messages on standard output and standard error, adapted to the terminal's encoding."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

from .cleaning import clean

if TYPE_CHECKING:
    from io import TextIOWrapper

#: Some of the characters in plots, tables and the app.
_DRAWN = "●─│━⠒▀…±"


def prepare() -> None:
    """Let standard output and error accept every character, and restrict terminals in the C locale to ASCII.

    Python uses UTF-8 in the C locale, which suits files; a terminal in that locale may not display it.
    Characters that a stream cannot encode are written as escapes instead of ending the command.
    """
    for stream in (sys.stdout, sys.stderr, sys.__stderr__):
        if not hasattr(stream, "reconfigure"):  # replaced by a test or another program
            continue
        wrapper: TextIOWrapper = stream  # type: ignore[assignment]
        if wrapper.isatty() and _is_c_locale():
            wrapper.reconfigure(encoding="ascii", errors="backslashreplace")
        elif wrapper.errors == "strict":
            wrapper.reconfigure(errors="backslashreplace")


def _is_c_locale() -> bool:
    """Whether the environment names the C or POSIX locale; Python itself then sets LC_CTYPE to C.UTF-8."""
    if os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8") == "1":
        return False
    named = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return named in ("C", "POSIX")


def can_draw(stream: IO[str] | None) -> bool:
    """Whether a stream can encode the characters that curves are drawn with."""
    try:
        _DRAWN.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shown(text: object, stream: IO[str] | None) -> str:
    """The text as a stream can display it: no control characters, and "?" for what cannot be encoded."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return clean(text).encode(encoding, "replace").decode(encoding)


def print_message(message: object, stream: IO[str] | None = None) -> None:
    """Print a line of text, on standard error by default. It may contain untrusted names and paths."""
    stream = sys.stderr if stream is None else stream
    print(shown(message, stream), file=stream)
