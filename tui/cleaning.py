"""Make untrusted text displayable. Imports nothing, so that every command can use it without delay."""

from __future__ import annotations

#: Zero-width space, joiners and no-break space, the soft hyphen, and the selectors of text and emoji styles.
_INVISIBLE = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, 0xFE0E, 0xFE0F])


def clean(text: object, ascii_only: bool = False) -> str:
    r"""Return untrusted text as it can be displayed: on one line, and with a known width.

    Control characters, which could move the cursor, change colours or reverse the text direction, become
    escapes such as ``\x1b``, all white space becomes blanks, and with `ascii_only` other characters become "?".
    Invisible characters that join or modify others are removed: terminals disagree about the width of the result.
    """
    text = str(text).translate(_INVISIBLE)
    if not text.isprintable():
        text = "".join(map(_printable, text))
    return text if not ascii_only or text.isascii() else text.encode("ascii", "replace").decode()


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else char.encode("unicode_escape").decode()
