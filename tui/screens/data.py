"""The data screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from ..keys import bindings
from .base import LabScreenBase


class DataScreen(LabScreenBase):
    """To come."""

    NAME = "data"
    BINDINGS = bindings("data")

    def body(self) -> ComposeResult:
        """Nothing yet."""
        yield Static("data")
