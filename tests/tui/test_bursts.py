"""Keys that arrive together: on every screen, dialog and list, none may end the app, and none may be lost.

What is tested is found by pressing keys: every mode of the app, and every screen that a key of it opens on top, so that
a new screen or dialog takes part by itself.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import itertools
import random
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import pytest
from prunelab.tui import screens, widgets
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.store import Run
from prunelab.tui.screens import data
from prunelab.tui.screens.dialogs import Choice, Dialog, Prompt
from textual import events
from textual.message_pump import MessagePump
from textual.widgets import Input

from .canned import CannedService

#: Beside the keys that the screen at hand has: letters and digits that dialogs take, and ways through lists and text.
EXTRA = [
    *"ady1k.",
    *["space", "enter", "escape", "tab", "shift+tab", "up", "down", "left", "right", "home", "end"],
    *["pageup", "pagedown", "backspace", "delete"],
]

#: Answer or close something.
FINAL = ["enter", "escape", "d", "k", "q", "space", "question_mark"]

CHARACTERS = {"space": " ", "question_mark": "?", "slash": "/", "full_stop": "."}


def as_event(key: str) -> events.Key:
    character = CHARACTERS.get(key, key if len(key) == 1 else None)
    return events.Key({".": "full_stop", "~": "tilde"}.get(key, key), character)


class Player:
    """An app that is opened again whenever a burst has ended it."""

    def __init__(self, make_run: Callable[..., Run], size: tuple[int, int]):
        self._make_run, self._size = make_run, size
        self.run = make_run("running", points=3, trained=True, name="going on")
        self._lock = self.run.lock()
        self._finished: list[Run] = []
        self._open = contextlib.AsyncExitStack()
        self.app: PrunelabApp | None = None

    async def close(self) -> None:
        self.app = None
        await self._open.aclose()

    async def go(self, mode: str, *keys: str) -> PrunelabApp:
        """Go to a screen of the app, and press keys there one by one. There are always runs to work with."""
        self._finished = [run for run in self._finished if run.path.is_dir()]
        while len(self._finished) < 2:
            self._finished.append(self._make_run(trained=True, name="finished"))
        if self.app is None or self.app.return_code is not None:
            await self.close()
            app = self.app = PrunelabApp(run=self.run)
            app.service = CannedService()  # type: ignore[assignment]
            app.runs_compared = [self.run]
            await self._open.enter_async_context(app.run_test(size=self._size))
        app = self.app
        while len(app.screen_stack) > 1:
            await app.pop_screen()
        await app.switch_mode(mode)
        for key in keys:
            await self.send(key)
        return app

    async def send(self, *keys: str) -> None:
        """Have keys arrive at once, and wait for what they bring about."""
        assert self.app is not None
        for key in keys:
            self.app.post_message(as_event(key))
        joined = asyncio.ensure_future(self._effect_of_all(self.app))
        ended = asyncio.ensure_future(self.app._exception_event.wait())
        while not (joined.done() or ended.done() or self.app.return_code is not None):
            await asyncio.wait([joined, ended], timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
        joined.cancel()
        ended.cancel()
        if self.app._exception is not None:
            raise AssertionError(f"the app has crashed at {keys}") from self.app._exception

    @staticmethod
    async def _effect_of_all(app: PrunelabApp) -> None:
        arrived = asyncio.Event()
        app.call_later(arrived.set)
        await arrived.wait()
        await app._input.join()


#: What comes on top of the screens: the mode, and the keys that open it there. The screens themselves are added below.
ON_TOP: dict[str, list[tuple[str, ...]]] = {
    "lab": [("question_mark",), ("ctrl+p",), ("q",), ("n",), ("n", "space")],
    "explore": [("w",)],
    "runs": [("n",), ("d",), ("x",), ("x", "c"), ("slash",)],
    "compare": [("a",)],
    "data": [("o",), ("o", *"x.csv", "enter", "e"), ("o", *"x.csv", "enter", "e", "space")],
}
PLACES = [(mode, path) for mode in PrunelabApp.MODES for path in [(), *ON_TOP.get(mode, [])]]


def own_keys(app: PrunelabApp) -> list[str]:
    return [key for key in app.screen.active_bindings if key != "ctrl+q"]


def keys_at(app: PrunelabApp) -> list[str]:
    return list(dict.fromkeys([*own_keys(app), *EXTRA]))


@pytest.fixture
def make_player(make_run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Player]:
    """Apps in which keys may do anything: no worker is started, and files are written into a folder of the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_PICTURES_DIR", "XDG_DOWNLOAD_DIR", "PRUNELAB_DATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(supervisor, "start", lambda store, spec: store.create(spec))
    for name in ("resume", "kill"):
        monkeypatch.setattr(supervisor, name, lambda run: None)
    monkeypatch.setattr(supervisor, "stop", lambda run: True)
    monkeypatch.setattr(data, "Service", CannedService)
    return lambda size=(80, 24): Player(make_run, size)


def play(test: Callable[[Player], Awaitable[None]], player: Player) -> None:
    async def main() -> None:
        try:
            await test(player)
        finally:
            await player.close()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def pairs_at(app: PrunelabApp) -> list[tuple[str, str]]:
    return list(itertools.product(keys_at(app), repeat=2))


def all_modules() -> list[ModuleType]:
    return [
        import_module(f"{package.__name__}.{module.name}")
        for package in (screens, widgets)
        for module in iter_modules(package.__path__)
    ]


def all_dialogs() -> set[type[Dialog[Any]]]:
    """Every screen of the app that comes on top of another."""
    found = [value for module in all_modules() for _, value in inspect.getmembers(module, inspect.isclass)]
    return {value for value in found if issubclass(value, Dialog) and value is not Dialog}


def test_every_dialog_is_among_the_places_where_bursts_are_tried(make_player) -> None:
    async def test(player: Player) -> None:
        found = {type((await player.go(mode, *path)).screen) for mode, path in PLACES if path}
        assert all_dialogs() <= found

    play(test, make_player())


def test_a_timer_of_the_app_may_come_before_a_screen_is_composed_and_after_it_is_gone(make_player) -> None:
    async def test(player: Player) -> None:
        app = await player.go("lab")
        for mode in PrunelabApp.MODES:
            made = PrunelabApp.MODES[mode]()
            made.look()
            app.switch_mode(mode)  # not awaited: it is on top now, and has no widgets yet
            app._tick()
            await app.switch_mode("lab")
        screens_seen = [app._screen_stacks[mode][0] for mode in PrunelabApp.MODES]
        app.exit()
        for screen in screens_seen:
            screen.look()
        app._tick()

    play(test, make_player())


def test_screens_and_widgets_have_all_their_attributes_from_the_start() -> None:
    """None is set for the first time where the screen is composed or mounted: a timer may come before that."""
    for module in all_modules():
        for _, made in inspect.getmembers(module, inspect.isclass):
            if made.__module__ == module.__name__ and issubclass(made, MessagePump):
                late = {name for part in ours(made) for name in attributes_set(part, early=False)}
                early = {name for part in ours(made) for name in attributes_set(part, early=True)}
                assert not late - early, made


def ours(made: type) -> list[type]:
    return [part for part in made.__mro__ if part.__module__.startswith("prunelab.")]


def attributes_set(made: type, early: bool) -> Iterator[str]:
    """Private attributes that the class or its constructor sets (`early`), or any other method."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(made))).body
    assert isinstance(node, ast.ClassDef)
    for statement in node.body:
        is_early = not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) or statement.name == "__init__"
        for target in ast.walk(statement) if is_early == early else ():
            if early and isinstance(target, ast.Name):
                yield target.id
            elif isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store):
                owner, _, name = ast.unparse(target).partition(".")
                yield from [name] * (owner == "self" and name.startswith("_") and "." not in name)


async def try_pairs(player: Player, choose: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]) -> None:
    for mode, path in PLACES:
        for pair in choose(pairs_at(await player.go(mode, *path))):
            await player.go(mode, *path)
            await player.send(*pair)


def test_keys_of_a_burst_go_where_the_keys_before_them_lead(make_player) -> None:
    async def test(player: Player) -> None:
        app = await player.go("data")
        await player.send("o", *"~x.npz")
        assert isinstance(app.screen, Prompt)
        assert app.screen.query_one(Input).value == "~x.npz"

        app = await player.go("runs")
        await player.send("slash", *"going", "enter", "n", "end", *[*"2"] * 40, "enter", "slash", *"x")
        await until(lambda: player.run.name == "going on" + "2" * 40)
        assert app.screen.query_one(Input).value == "x"  # what was there is selected

        app = await player.go("lab")
        await player.send("n", *["down"] * 4, *"7 8", "tab", "tab", "f4", "f2", *"9")
        texts = [field.value for field in app.screen.query(Input) if field.region.height]
        assert texts[:2] == ["7 8", "9"]  # a field is selected when one comes to it

    play(test, make_player())


def test_the_second_answer_to_a_dialog_is_ignored(make_player) -> None:
    async def test(player: Player) -> None:
        app = await player.go("runs")
        await player.send("d", "k", "k")
        assert len(app.screen_stack) == 1
        await player.send("d", "d", "d")  # the first run is running, and the last key asks again
        assert isinstance(app.screen, Choice)

    play(test, make_player())


def test_pairs_of_keys_end_no_screen_and_no_dialog(make_player) -> None:
    """Pairs that answer or close something, and some others."""
    generator = random.Random(0)

    def choose(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        final = [pair for pair in pairs if set(pair) <= set(FINAL)]
        return generator.sample(final, 1) + generator.sample(pairs, 1)

    play(lambda player: try_pairs(player, choose), make_player())


@pytest.mark.slow
def test_more_pairs_of_keys(make_player) -> None:
    generator = random.Random(1)
    play(lambda player: try_pairs(player, lambda pairs: generator.sample(pairs, 20)), make_player())


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_every_pair_of_keys(make_player) -> None:
    play(lambda player: try_pairs(player, lambda pairs: pairs), make_player())


async def try_bursts(player: Player, count: int, seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(count):
        mode, path = generator.choice(PLACES)
        keys = [*keys_at(await player.go(mode, *path)), "f2", "f3", "f4", "f5", "f6", "ctrl+p", "f9"]
        burst = generator.choices(keys, k=generator.randint(2, 12))
        await player.send(*burst)


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ((80, 24), 12),
        *(
            pytest.param(size, count, marks=[mark, pytest.mark.timeout(3600)])
            for size in [(80, 24), (120, 40), (200, 60), (40, 12)]
            for count, mark in ((100, pytest.mark.slow), (2000, pytest.mark.exhaustive))
        ),
    ],
)
def test_random_bursts(make_player, size, count) -> None:
    play(lambda player: try_bursts(player, count, seed=sum(size)), make_player(size))
