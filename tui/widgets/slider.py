"""A slider for a percentage: controlled by keys, digits and the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

if TYPE_CHECKING:
    from textual import events

#: Columns to the left of the bar: the label and the value.
_LABEL_WIDTH = 19

_MAX_TYPED = 7


class Slider(Widget):
    """A percentage from 0 to 100 as a bar with a knob, above a scale.

    The owner forwards keys by calling `step`, `go_to`, and for typed numbers `type_character`, `rub_out`, `take_typed`
    and `forget_typed`. A click on the bar, or dragging the knob, sets a whole percentage. `Moved` is posted when the
    user changes the value.
    """

    DEFAULT_CSS = """
    Slider { height: 2; width: 1fr; padding: 0 1; }
    """

    percent = reactive(0.0)
    typed = reactive("")
    problem = reactive("")

    class Moved(Message):
        """The value has changed."""

        def __init__(self, percent: float):
            super().__init__()
            self.percent = percent

    def __init__(self, name: str, *, id: str | None = None):
        super().__init__(id=id)
        self._label = name

    def step(self, by: float) -> None:
        """Move by a number of percentage points."""
        self.go_to(self.percent + by)

    def go_to(self, percent: float) -> None:
        """Move to a value, limited to the range."""
        self.forget_typed()
        percent = round(min(max(percent, 0.0), 100.0), 8)
        if percent != self.percent:
            self.percent = percent
            self.post_message(self.Moved(percent))

    def type_character(self, character: str) -> None:
        """Append a digit, or a decimal point or comma."""
        character = character.replace(",", ".")
        self.problem = ""
        if len(self.typed) < _MAX_TYPED and not (character == "." and "." in self.typed):
            self.typed += character

    def rub_out(self) -> None:
        """Delete the last character typed."""
        self.typed, self.problem = self.typed[:-1], ""

    def forget_typed(self) -> None:
        """Discard the typed number."""
        self.typed = self.problem = ""

    def take_typed(self) -> None:
        """Move to the typed number; if it is invalid, show why."""
        if not self.typed:
            return
        try:
            percent = float(self.typed)
        except ValueError:
            percent = -1.0
        if 0 <= percent <= 100:
            self.go_to(percent)
        else:
            self.problem = "must be from 0 to 100"

    def render(self) -> Content:
        """The bar and its scale."""
        ascii_only = getattr(self.app, "ascii_only", False)
        filled, knob, rest = "=O." if ascii_only else "━●─"
        columns = self._columns
        at = round(self.percent / 100 * (columns - 1))
        value = f"{self.typed}_" if self.typed else f"{self.percent:.6g} %"
        below = self.problem or ("Enter applies it" if self.typed else "")
        return Content.assemble(
            (f"{self._label} ", ""),
            (f"{value:<{_LABEL_WIDTH - len(self._label) - 1}}", "bold $text-warning" if self.typed else "bold"),
            (filled * at, "$accent"),
            (knob, "bold $accent"),
            (rest * (columns - 1 - at), "$foreground 50%"),
            "\n",
            (f"{below:<{_LABEL_WIDTH}}", "$text-error" if self.problem else "$text-muted"),
            (_scale(columns), "$text-muted"),
        )

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Move the knob to the mouse, and start dragging."""
        if event.button == 1 and event.x >= _LABEL_WIDTH:
            self.capture_mouse()
            self._go_to_column(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the knob."""
        if self.app.mouse_captured is self:
            self._go_to_column(event.x)

    def on_mouse_up(self) -> None:
        """Release the knob."""
        self.release_mouse()

    @property
    def _columns(self) -> int:
        """The length of the bar."""
        return max(2, self.content_size.width - _LABEL_WIDTH)

    def _go_to_column(self, x: int) -> None:
        column = x - _LABEL_WIDTH - self.gutter.left
        self.go_to(round(100 * column / (self._columns - 1)))


def _scale(columns: int) -> str:
    """Numbers below their positions on the scale."""
    line = [" "] * columns
    for percent in (0, 25, 50, 75, 100) if columns >= 24 else (0, 50, 100):
        text = str(percent)
        centre = percent / 100 * (columns - 1)
        start = min(max(round(centre - (len(text) - 1) / 2), 0), columns - len(text))
        line[start : start + len(text)] = text
    return "".join(line)
