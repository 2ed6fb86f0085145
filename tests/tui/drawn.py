"""What drawings must be like."""

from __future__ import annotations

import re

from rich.cells import cell_len


def visible(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def assert_fits(text, width, height, *, colour=True, ascii_only=False):
    lines = visible(text).split("\n")
    assert [cell_len(line) for line in lines] == [width] * len(lines)
    if height is not None:
        assert len(lines) == height
    if not colour:
        assert "\x1b" not in text
    if ascii_only:
        assert text.isascii()
