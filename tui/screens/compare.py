"""The compare screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from ..keys import bindings
from .base import LabScreenBase


class CompareScreen(LabScreenBase):
    """To come."""

    NAME = "compare"
    BINDINGS = bindings("compare")

    def body(self) -> ComposeResult:
        """Nothing yet."""
        yield Static("compare")
