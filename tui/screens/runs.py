"""The runs screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from ..keys import bindings
from .base import LabScreenBase


class RunsScreen(LabScreenBase):
    """To come."""

    NAME = "runs"
    BINDINGS = bindings("runs")

    def body(self) -> ComposeResult:
        """Nothing yet."""
        yield Static("runs")
