"""Keys, clicks and pastes, one at a time.

Textual forwards every key immediately to the focused widget, and resolves the binding of a key that no widget
handles only after the key has bubbled up to the app. So the second of two keys that arrive together would reach the
screen that the first is about to leave. The queue holds it until the first has had its effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from textual import events
from textual.errors import NoWidget
from textual.message import Message
from textual.message_pump import MessagePump

if TYPE_CHECKING:
    from textual.app import App
    from textual.screen import Screen

#: Seconds between checks whether the widget that received a message still exists.
SECONDS_BETWEEN_LOOKS = 0.005

#: Maximum number of screen changes to wait for before the next key is dispatched.
MOST_ROUNDS = 12


class Passed(Message, namespace="input_queue"):
    """Bubbles up to the app behind a piece of input: when it arrives, all handlers of the input have run."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()


class InputQueue:
    """Dispatches the user's input to an app in order; each piece after the previous one has had its effect.

    The effect comprises the handlers and actions, the messages that they send, and the screens that they open or close:
    a key reaches the dialog that the previous key opened. Workers and threads are not waited for.
    waited for.

    Parameters
    ----------
    app : App
        Must set `arrived` of every `Passed` that reaches it.
    dispatch : callable
        Receives a piece of input, and has the app handle it as Textual does.
    """

    def __init__(self, app: App[None], dispatch: Callable[[events.Event], Awaitable[None]]):
        self._app, self._dispatch = app, dispatch
        self._waiting: asyncio.Queue[events.Event] = asyncio.Queue()

    @staticmethod
    def takes(event: events.Event) -> bool:
        """Whether an event is input that has not been dispatched to a widget yet."""
        return isinstance(event, (events.InputEvent, events.Paste)) and not event.is_forwarded

    def put(self, event: events.Event) -> None:
        """Append a piece of input."""
        self._waiting.put_nowait(event)

    async def join(self) -> None:
        """Wait until all input has had its effect."""
        await self._waiting.join()

    async def run(self) -> None:
        """Dispatch the input while the app runs."""
        while True:
            event = await self._waiting.get()
            if not self._is_open:
                return
            first = self._target(event)
            await self._dispatch(event)
            if isinstance(event, (events.Key, events.Paste, events.MouseUp)):
                await self._wait_for_effect(first)
            self._waiting.task_done()

    @property
    def _is_open(self) -> bool:
        """Whether a screen can handle input; False while the app ends."""
        return self._app.is_running and bool(self._app.screen_stack) and self._app.screen.is_attached

    def _target(self, event: events.Event | None = None) -> MessagePump:
        """The widget that receives the input: the one under the mouse, else the focused one, else the screen."""
        if isinstance(event, events.MouseEvent):
            try:
                return self._app.get_widget_at(event.x, event.y)[0]
            except NoWidget:
                return self._app.screen
        return self._app.focused or self._app.screen

    async def _wait_for_effect(self, first: MessagePump) -> None:
        """Wait until the path from the target to the app is idle twice in a row: handlers may have sent messages."""
        screen = self._app.screen
        await self._follow(first)
        before: MessagePump | None = None
        for _ in range(MOST_ROUNDS):
            if not self._is_open or (target := self._target()) is before:
                return
            before = target
            await self._follow(target)
            if self._is_open and screen is not (screen := self._app.screen):
                await self._see(screen)

    async def _follow(self, target: MessagePump) -> None:
        """Send a message after the input, and wait until it has reached the app or can no longer do so."""
        message = Passed()
        if target.post_message(message):
            await self._wait(message.arrived, lambda: target.is_attached)

    async def _see(self, screen: Screen[object]) -> None:
        """Wait until a screen has been drawn: before that, its widgets do not know their sizes."""
        drawn = asyncio.Event()
        if screen.call_after_refresh(drawn.set):
            await self._wait(drawn, lambda: screen.is_attached and screen.is_active)

    @staticmethod
    async def _wait(event: asyncio.Event, can_come: Callable[[], bool]) -> None:
        arrival = asyncio.ensure_future(event.wait())
        try:
            while not arrival.done() and can_come():
                await asyncio.wait([arrival], timeout=SECONDS_BETWEEN_LOOKS)
        finally:
            arrival.cancel()
