"""The lab screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from ..keys import bindings
from .base import LabScreenBase


class LabScreen(LabScreenBase):
    """To come."""

    NAME = "lab"
    BINDINGS = bindings("lab")

    def body(self) -> ComposeResult:
        """Nothing yet."""
        yield Static("lab")
