"""Keys, clicks and pastes, one at a time.

Textual forwards every key at once to the widget that has the focus, and finds the binding for a key that no widget
wants only when the key has come back up to the app. Of two keys that arrive together, the second would so go to the
screen that the first is about to leave. Here it waits until the first has had its effect.
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

#: Seconds between two looks whether the widget that a message was sent to is still there.
SECONDS_BETWEEN_LOOKS = 0.005

#: Screens that may follow from each other before the next key is handed out all the same.
MOST_ROUNDS = 12


class Passed(Message, namespace="input_queue"):
    """Follows a piece of input on its way up to the app: when it arrives, all handlers of the input have run."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()


class InputQueue:
    """Hands the user's input to an app in its order; the next piece when the one before has had its effect.

    An effect is what the handlers and actions do, the messages that they send, and the screens that come or go: a key
    reaches the dialog that the key before it has opened. What takes time beside the screen (workers, threads) is not
    waited for.

    Parameters
    ----------
    app : App
        Must set `arrived` of every `Passed` that reaches it.
    dispatch : callable
        Takes a piece of input, and has the app handle it as Textual does.
    """

    def __init__(self, app: App[None], dispatch: Callable[[events.Event], Awaitable[None]]):
        self._app, self._dispatch = app, dispatch
        self._waiting: asyncio.Queue[events.Event] = asyncio.Queue()

    @staticmethod
    def takes(event: events.Event) -> bool:
        """Whether an event is input that has not been handed to a widget yet."""
        return isinstance(event, (events.InputEvent, events.Paste)) and not event.is_forwarded

    def put(self, event: events.Event) -> None:
        """Add a piece of input at the end."""
        self._waiting.put_nowait(event)

    async def join(self) -> None:
        """Wait until all input has had its effect."""
        await self._waiting.join()

    async def run(self) -> None:
        """Hand out the input as long as the app runs."""
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
        """Whether there is a screen to handle input; not while the app ends."""
        return self._app.is_running and bool(self._app.screen_stack) and self._app.screen.is_attached

    def _target(self, event: events.Event | None = None) -> MessagePump:
        """The widget that input goes to: the one at the mouse, else the one that has the focus, else the screen."""
        if isinstance(event, events.MouseEvent):
            try:
                return self._app.get_widget_at(event.x, event.y)[0]
            except NoWidget:
                return self._app.screen
        return self._app.focused or self._app.screen

    async def _wait_for_effect(self, first: MessagePump) -> None:
        """Wait until the way up from the target is free twice in a row: messages that handlers sent came between."""
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
        """Send a message after the input, and wait until it has reached the app, or cannot any more."""
        message = Passed()
        if target.post_message(message):
            await self._wait(message.arrived, lambda: target.is_attached)

    async def _see(self, screen: Screen[object]) -> None:
        """Wait until a screen has been drawn: before, its widgets do not know how large they are."""
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
