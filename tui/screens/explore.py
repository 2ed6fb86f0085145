"""The explore screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from ..keys import bindings
from .base import LabScreenBase


class ExploreScreen(LabScreenBase):
    """To come."""

    NAME = "explore"
    BINDINGS = bindings("explore")

    def body(self) -> ComposeResult:
        """Nothing yet."""
        yield Static("explore")
